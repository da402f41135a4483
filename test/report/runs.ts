/** Made runs for the report's tests: plausible curves, masks and images, as data and as a folder with the real files. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSafetensors } from '../../src/data/files.ts';
import type { StoredTensor } from '../../src/data/safetensors.ts';
import type { EpochMetrics, RunData, RunResult } from '../../src/report/run.ts';
import type { LayerMask, LayerWeights, Samples } from '../../src/report/tensors.ts';
import { Random } from '../../src/tensor/philox.ts';

export const classes = ['circle', 'square', 'triangle', 'star', 'cross', 'ring', 'diamond', 'bar', 'hexagon', 'crescent'];

export interface Made {
  label: string;
  seed: number;
  epochs: number;
  /** Accuracies that the curves approach, as fractions. */
  sa: number;
  ra: number;
  /** 1: no masks. */
  density: number;
  /** Flying Bird+: layers lose weights from epoch to epoch, by decisions to prune and to grow. */
  adaptive?: boolean;
}

export function madeRun({
  label,
  seed,
  epochs,
  sa,
  ra,
  density,
  adaptive = false,
}: Made): RunData & { result: RunResult; samples: Samples } {
  const noise = uniform(seed);
  const jitter = (size: number): number => (noise() - 0.5) * size;
  const masks =
    density < 1 ? networkShapes.map(([name, shape], i) => madeMask(name, shape, layerDensity(i, density), noise)) : [];
  const counts = masks.map(({ name, keep }) => ({ name, nnz: Array.from(keep).filter(k => k !== 0).length, size: keep.length }));
  const layersAt = (epoch: number) =>
    counts.map(({ name, nnz, size }) => ({
      name,
      nnz: adaptive ? Math.min(size, Math.round(nnz * (1 + 0.05 * (epochs - 1 - epoch)))) : nnz,
      size,
    }));
  const metrics = Array.from({ length: epochs }, (_, i): EpochMetrics => {
    const progress = 1 - Math.exp((-4 * (i + 1)) / epochs);
    return {
      epoch: i + 1,
      trainRa: Math.max(0, ra * progress * 1.15 + jitter(0.02)),
      valSa: sa * progress + jitter(0.03),
      valRa: Math.max(0, ra * progress + jitter(0.03)),
      valLoss: 2.3 - 1.1 * progress * (ra + 0.2) + jitter(0.05),
      testSa: sa * progress + jitter(0.03),
      testRa: Math.max(0, ra * progress + jitter(0.03)),
      lr: i < epochs / 2 ? 0.1 : 0.01,
      density,
      deathRate: 0.5 * Math.cos((Math.PI / 2) * (i / epochs)),
      fired: density + 0.2 * progress,
      maskDistance: density < 1 ? 0.1 * (1 - progress) : Number.NaN,
      ...(density < 1 && {
        layers: layersAt(i),
        events: [{ iteration: 30 * (i + 1), prune: adaptive && i % 2 === 1, grow: adaptive && i % 3 === 2 }],
      }),
      imagesPerSecond: 410 + jitter(40),
      seconds: 11 + jitter(1),
    };
  });
  const best = metrics.reduce((top, epoch) => (epoch.valRa > top.valRa ? epoch : top));
  const last = metrics[epochs - 1];
  const dense = 14_220_000;
  return {
    folder: label.toLowerCase().replaceAll(' ', '-'),
    label,
    config: {
      dataset: 'shapes',
      arch: 'resnet8',
      width: 16,
      mode: label.startsWith('Standard') ? 'sgd' : 'pgd',
      epochs,
      batchSize: 128,
      lr: 0.1,
      decreasingLr: [6, 9],
      momentum: 0.9,
      weightDecay: 0.0005,
      trainEps: 8,
      trainStep: 5,
      testEps: 8,
      testStep: 20,
      fb: density < 1 && !adaptive,
      fbp: adaptive,
      density,
      seed,
    },
    metrics,
    result: {
      arch: 'resnet8',
      dataset: 'shapes',
      mode: label.startsWith('Standard') ? 'sgd' : 'pgd',
      density,
      best: { epoch: best.epoch, testRa: best.testRa, testSa: best.testSa, valRa: best.valRa },
      final: { testRa: last.testRa, testSa: last.testSa },
      gap: { trainRa: last.trainRa, testRa: last.testRa, gap: last.trainRa - last.testRa },
      flops: {
        inferenceDense: dense,
        inferenceReal: dense * density,
        trainingDense: dense * 3 * 6 * 4000 * epochs,
        trainingReal: dense * 3 * 6 * 4000 * epochs * density,
        formula: 'training = epochs x images x (steps + 1) x (forward + backward)\nbackward = 2 x forward',
      },
      adapter: 'SwiftShader Device (Subzero)',
      seconds: metrics.reduce((sum, epoch) => sum + epoch.seconds, 0),
      seed,
    },
    masks,
    weights: networkShapes.map(([name, shape], i) => madeWeights(name, shape, masks[i], noise)),
    samples: madeSamples(12, ra, sa, noise),
  };
}

/** Draws from U(0, 1), one at a time. */
function uniform(seed: number): () => number {
  const random = new Random(seed);
  let [drawn, next] = [random.uniform(4096), 0];
  return () => {
    if (next === drawn.length) [drawn, next] = [random.uniform(4096), 0];
    return drawn[next++];
  };
}

const networkShapes: [string, number[]][] = [
  ['conv1.weight', [16, 3, 3, 3]],
  ['layer1.0.conv1.weight', [16, 16, 3, 3]],
  ['layer1.0.conv2.weight', [16, 16, 3, 3]],
  ['layer2.0.conv1.weight', [32, 16, 3, 3]],
  ['layer2.0.conv2.weight', [32, 32, 3, 3]],
  ['layer2.0.shortcut.0.weight', [32, 16, 1, 1]],
  ['layer3.0.conv1.weight', [64, 32, 3, 3]],
  ['layer3.0.conv2.weight', [64, 64, 3, 3]],
  ['layer3.0.shortcut.0.weight', [64, 32, 1, 1]],
  ['linear.weight', [10, 64]],
];

const layerDensity = (layer: number, density: number): number =>
  Math.min(1, density * (2.6 - 0.22 * layer) + (layer === 0 || layer === 9 ? 0.6 : 0));

function madeMask(name: string, shape: number[], density: number, noise: () => number): LayerMask {
  const [rows] = shape;
  const each = shape.reduce((a, b) => a * b) / rows;
  const keep = Float32Array.from({ length: rows * each }, (_, i) =>
    noise() < density * (0.4 + (1.2 * ((Math.floor(i / each) * 7) % rows)) / rows) ? 1 : 0,
  );
  return { name, shape, keep };
}

/** Roughly normal weights, narrower in larger layers; 0 where the mask drops them. */
function madeWeights(name: string, shape: number[], mask: LayerMask | undefined, noise: () => number): LayerWeights {
  const size = shape.reduce((a, b) => a * b);
  const width = Math.sqrt(2 / (size / shape[0]));
  const values = Float32Array.from(
    { length: size },
    (_, i) => (mask ? mask.keep[i] : 1) * width * (noise() + noise() + noise() - 1.5),
  );
  return { name, values };
}

function madeSamples(n: number, ra: number, sa: number, noise: () => number): Samples {
  const side = 32;
  const clean = new Float32Array(n * 3 * side * side);
  const adv = new Float32Array(clean.length);
  const labels = Array.from({ length: n }, (_, i) => i % classes.length);
  for (let at = 0; at < clean.length; at++) {
    const image = Math.floor(at / (3 * side * side));
    const [channel, y, x] = [Math.floor(at / (side * side)) % 3, Math.floor(at / side) % side, at % side];
    const inside = labels[image] % 2 === 0 ? Math.hypot(x - 16, y - 16) < 10 : Math.abs(x - 16) < 8 && Math.abs(y - 15) < 9;
    clean[at] = Math.min(
      1,
      Math.max(0, (inside ? 0.25 + 0.3 * ((channel + image) % 3) : 0.15 + y / 60) + (noise() - 0.5) * 0.06),
    );
    adv[at] = Math.min(1, Math.max(0, clean[at] + (noise() < 0.5 ? -8 : 8) / 255));
  }
  const predict = (accuracy: number): number[] => labels.map(l => (noise() < accuracy ? l : (l + 3) % classes.length));
  return { shape: [n, 3, side, side], clean, adv, labels, predClean: predict(sa), predAdv: predict(ra), classes };
}

/** Writes a run's folder with the files that training leaves. */
export function writeRun(folder: string, run: RunData): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(run.config));
  writeFileSync(join(folder, 'metrics.jsonl'), run.metrics.map(epoch => `${JSON.stringify(epoch)}\n`).join(''));
  if (run.result) writeFileSync(join(folder, 'result.json'), JSON.stringify({ label: run.label, ...run.result }));
  const shapes = new Map(networkShapes);
  const weights = run.weights.flatMap(({ name, values }): [string, StoredTensor][] => {
    const tensor: StoredTensor = { dtype: 'F32', shape: shapes.get(name)!, data: Float32Array.from(values) };
    return [
      [name, tensor],
      [`momentum.${name}`, tensor],
    ];
  });
  const masks = run.masks.map(({ name, shape, keep }): [string, StoredTensor] => [
    `mask.${name}`,
    { dtype: 'U8', shape, data: Uint8Array.from(keep) },
  ]);
  writeSafetensors(join(folder, 'checkpoint.safetensors'), new Map([...weights, ...masks]));
  if (run.distances) {
    const { matrix, emerged = null, ...rest } = run.distances;
    writeFileSync(join(folder, 'distances.json'), JSON.stringify({ ...rest, distances: matrix, emerged }));
  }
  if (!run.samples) return;
  const { shape, clean, adv, labels, predClean, predAdv, classes } = run.samples;
  const images = (data: ArrayLike<number>): StoredTensor => ({ dtype: 'F32', shape, data: Float32Array.from(data) });
  const integers = (values: number[]): StoredTensor => ({
    dtype: 'I64',
    shape: [values.length],
    data: BigInt64Array.from(values, BigInt),
  });
  writeSafetensors(
    join(folder, 'samples.safetensors'),
    new Map([
      ['clean', images(clean)],
      ['adv', images(adv)],
      ['labels', integers(labels)],
      ['pred.clean', integers(predClean)],
      ['pred.adv', integers(predAdv)],
    ]),
    { classes: JSON.stringify(classes), eps: String(8 / 255) },
  );
}
