/** Cases of the kernels of a training step: batches, attacks, normalisation, pooling, logits, the optimiser and masks. */

import { projectedStep } from '../../adv/pgd.ts';
import { uniform } from '../../device/index.ts';
import { batch } from '../../kernels/batch.ts';
import { program } from '../../kernels/kernel.ts';
import { sgdStep } from '../../kernels/optim.ts';
import { type NormPlan, normalise, normSums, normTrain, normTrainBackward, runningStats } from '../../tensor/norm.ts';
import { adaptiveAvgPool2d, avgPool2d, maxPool2d } from '../../tensor/pool.ts';
import { crossEntropyRows, crossEntropyRowsBackward, logSoftmax } from '../../tensor/rows.ts';
import { kthLargest, selectMask } from '../../tensor/select.ts';
import { empty } from '../../tensor/tensor.ts';
import { bytesOf, each, floats, type Input, indices, type KernelCase, mask, words } from './case.ts';

type Size = KernelCase['size'];
type Values = ArrayLike<number>;

// -- batches and attacks ---------------------------------------------------------------------------------------------------------------

/** n of 2·n samples in a random order, from the third on; with `augment` cropped by up to 2 and mirrored. */
function batchCase(n: number, c: number, h: number, augment: boolean, size: Size): KernelCase {
  const samples = 2 * n;
  const image = c * h * h;
  return {
    title: `${n} of ${samples} images [${c}, ${h}, ${h}]${augment ? ', cropped and mirrored' : ''}`,
    size,
    inputs: () => {
      const order = indices([samples], 3, samples);
      const first: Input = { shape: [1], dtype: 'u32', values: Uint32Array.of(2) };
      const unsigned: Input = { ...order, dtype: 'u32', values: Uint32Array.from(order.values) };
      return [words([Math.ceil((samples * image) / 4)], 1), indices([samples], 2, 10), unsigned, first, words([4 * n], 4)];
    },
    launch: (device, [data, labels, order, first, random]) => {
      const images = empty(device, [n, c, h, h]);
      const chosen = empty(device, [n], 'i32');
      const source = { data: data.storage, labels: labels.storage, order: order.storage, first: first.storage };
      const by = augment ? { crop: 2, flip: true, rotate: 0 } : undefined;
      batch(device, source, random.storage, images.storage, chosen.storage, { n, c, h, w: h }, by);
      return [images, chosen];
    },
    reference: ([data, labels, order, first, random]) => {
      const bytes = new Uint8Array(data.buffer);
      const sample = (i: number) => order[first[0] + i];
      const pixel = (i: number): number => {
        const s = Math.floor(i / image);
        let [row, col] = [Math.floor(i / h) % h, i % h];
        if (augment) {
          if (random[4 * s + 2] % 2 === 1) col = h - 1 - col;
          row += (random[4 * s] % 5) - 2;
          col += (random[4 * s + 1] % 5) - 2;
        }
        if (row < 0 || row >= h || col < 0 || col >= h) return 0;
        return bytes[sample(s) * image + (Math.floor(i / (h * h)) % c) * h * h + row * h + col] / 255;
      };
      return [each(n * image, pixel), each(n, i => labels[sample(i)])];
    },
    tolerance: 1e-6,
    work: { bytes: 5 * n * image }, // a byte read, a float written
  };
}

const clamp = (v: number, low: number, high: number) => Math.min(Math.max(v, low), high);

function attackCase(norm: 'linf' | 'l2', n: number, pixels: number, size: Size): KernelCase {
  const [eps, stepSize] = norm === 'linf' ? [8 / 255, 2 / 255] : [0.5, 0.1];
  return {
    title: `${norm} step of ${n} images of ${pixels}`,
    size,
    inputs: () => [floats([n, pixels], 1, 0, 1), floats([n, pixels], 2, -eps, eps), floats([n, pixels], 3)],
    launch: (_, [x, d, g]) => Object.values(projectedStep(x, d, g, { norm, eps, stepSize })),
    reference: ([x, from, g]) => {
      const box = (d: number, i: number) => clamp(d, -x[i], 1 - x[i]);
      const length = (v: Values, s: number) => Math.hypot(...Array.from({ length: pixels }, (_, i) => v[s * pixels + i]));
      let d = each(n * pixels, i => box(clamp(from[i] + stepSize * Math.sign(g[i]), -eps, eps), i));
      if (norm === 'l2') {
        const lengths = each(n, s => Math.max(length(g, s), 1e-6));
        const moved = each(n * pixels, i => box(from[i] + (stepSize * g[i]) / lengths[Math.floor(i / pixels)], i));
        const radii = each(n, s => length(moved, s));
        d = each(n * pixels, i => moved[i] * Math.min(eps / radii[Math.floor(i / pixels)], 1));
      }
      return [d, each(n * pixels, i => x[i] + d[i])];
    },
    tolerance: 1e-5,
    work: bytesOf(5 * n * pixels),
  };
}

// -- normalisation and pooling ---------------------------------------------------------------------------------------------------------

interface NormSizes {
  n: number;
  c: number;
  h: number;
}
const normInputs = ({ n, c, h }: NormSizes) => [floats([n, c, h, h], 1), floats([n, c, h, h], 2), floats([4, c], 3, 0.5, 1.5)];
const channel = ({ c, h }: NormSizes, i: number) => Math.floor(i / (h * h)) % c;
const count = ({ n, c, h }: NormSizes) => n * c * h * h;

/** Σ of a value over each channel. */
function channelSums(s: NormSizes, value: (i: number) => number): Float64Array {
  const sums = new Float64Array(s.c);
  for (let i = 0; i < count(s); i++) sums[channel(s, i)] += value(i);
  return sums;
}

/** Train mode forward: mean, invstd, scale, shift of each channel of a batch, and the normalised batch. */
function trainCase(plan: NormPlan, s: NormSizes, size: Size): KernelCase {
  const eps = 1e-5;
  return {
    title: `statistics of [${s.n}, ${s.c}, ${s.h}, ${s.h}], and normalised`,
    size,
    inputs: () => [normInputs(s)[0], floats([s.c], 2, 0.5, 1.5), floats([s.c], 3)],
    launch: (_, [x, gamma, beta]) => {
      const { stats, y } = normTrain(x, gamma, beta, { eps, relu: false }, plan);
      return [stats, y];
    },
    reference: ([x, gamma, beta]) => {
      const m = count(s) / s.c;
      const mean = channelSums(s, i => x[i]).map(v => v / m);
      const variance = channelSums(s, i => (x[i] - mean[channel(s, i)]) ** 2).map(v => v / m);
      const invstd = variance.map(v => 1 / Math.sqrt(v + eps));
      const scale = invstd.map((v, c) => gamma[c] * v);
      const shift = scale.map((v, c) => beta[c] - mean[c] * v);
      return [[...mean, ...invstd, ...scale, ...shift], each(count(s), i => x[i] * scale[channel(s, i)] + shift[channel(s, i)])];
    },
    tolerance: 1e-5,
    work: bytesOf(3 * count(s)),
  };
}

/** Eval mode: mean, invstd, scale, shift of each channel from running statistics. */
function runningCase(c: number, size: Size): KernelCase {
  const eps = 1e-5;
  return {
    title: `statistics of ${c} channels in eval mode`,
    size,
    inputs: () => [floats([c], 1, 0.5, 1.5), floats([c], 2), floats([c], 3), floats([c], 4, 0.5, 2)],
    launch: (_, [gamma, beta, mean, variance]) => [runningStats(gamma, beta, mean, variance, eps)],
    reference: ([gamma, beta, mean, variance]) => {
      const invstd = each(c, i => 1 / Math.sqrt(variance[i] + eps));
      const scale = invstd.map((v, i) => gamma[i] * v);
      return [[...mean, ...invstd, ...scale, ...scale.map((v, i) => beta[i] - mean[i] * v)]];
    },
    tolerance: 1e-5,
    work: bytesOf(8 * c),
  };
}

/** Gradients by β and γ. */
function gradientSums(s: NormSizes, [x, g, stats]: readonly Values[]): [Float64Array, Float64Array] {
  const hat = (i: number) => (x[i] - stats[channel(s, i)]) * stats[s.c + channel(s, i)];
  return [channelSums(s, i => g[i]), channelSums(s, i => g[i] * hat(i))];
}

function sumsCase(plan: NormPlan, s: NormSizes, size: Size): KernelCase {
  return {
    title: `gradient sums of [${s.n}, ${s.c}, ${s.h}, ${s.h}]`,
    size,
    inputs: () => normInputs(s),
    launch: (_, [x, g, stats]) => [normSums(x, g, stats, false, plan)],
    reference: inputs => [gradientSums(s, inputs).flatMap(sums => [...sums])],
    tolerance: 1e-5,
    work: bytesOf(2 * count(s)),
  };
}

function forwardCase(plan: NormPlan, s: NormSizes, size: Size): KernelCase {
  return {
    title: `forward with ReLU of [${s.n}, ${s.c}, ${s.h}, ${s.h}]`,
    size,
    inputs: () => normInputs(s),
    launch: (_, [x, , stats]) => [normalise(x, stats, true, plan)],
    reference: ([x, , stats]) => [
      each(count(s), i => Math.max(x[i] * stats[2 * s.c + channel(s, i)] + stats[3 * s.c + channel(s, i)], 0)),
    ],
    tolerance: 1e-5,
    work: bytesOf(2 * count(s)),
  };
}

function backwardCase(plan: NormPlan, s: NormSizes, size: Size): KernelCase {
  return {
    title: `gradients of [${s.n}, ${s.c}, ${s.h}, ${s.h}]`,
    size,
    inputs: () => normInputs(s),
    launch: (_, [x, g, stats]) => {
      const { gx, sums } = normTrainBackward(x, g, stats, { relu: false }, plan);
      return [gx, sums];
    },
    reference: inputs => {
      const [x, g, stats] = inputs;
      const [byBeta, byGamma] = gradientSums(s, inputs);
      const m = count(s) / s.c;
      const gx = each(count(s), i => {
        const c = channel(s, i);
        const [mean, invstd, scale] = [0, 1, 2].map(row => stats[row * s.c + c]);
        return scale * (g[i] - byBeta[c] / m - ((x[i] - mean) * invstd * byGamma[c]) / m);
      });
      return [gx, [...byBeta, ...byGamma]];
    },
    tolerance: 1e-5,
    work: bytesOf(5 * count(s)),
  };
}

/** Windows of 2 by steps of 2, or the mean of the whole plane. */
function poolCase(kind: 'max' | 'average' | 'whole', planes: number, h: number, size: Size): KernelCase {
  const k = kind === 'whole' ? h : 2;
  const o = Math.floor(h / k);
  return {
    title: `${kind === 'whole' ? 'means' : `${kind} of ${k} x ${k} windows`} of ${planes} planes of ${h} x ${h}`,
    size,
    inputs: () => [floats([1, planes, h, h], 1)],
    launch: (_, [x]) => {
      if (kind === 'max') return [maxPool2d(x, { kernel: k }).y];
      return [kind === 'average' ? avgPool2d(x, { kernel: k }) : adaptiveAvgPool2d(x, [1, 1])];
    },
    reference: ([x]) => [
      each(planes * o * o, i => {
        const corner = Math.floor(i / (o * o)) * h * h + Math.floor((i % (o * o)) / o) * k * h + (i % o) * k;
        let sum = 0;
        let most = -Infinity;
        for (let a = 0; a < k; a++) {
          for (let b = 0; b < k; b++) {
            sum += x[corner + a * h + b];
            most = Math.max(most, x[corner + a * h + b]);
          }
        }
        return kind === 'max' ? most : sum / (k * k);
      }),
    ],
    tolerance: 1e-5,
    work: bytesOf(planes * (h * h + o * o)),
  };
}

// -- logits ----------------------------------------------------------------------------------------------------------------------------

function logSums(z: Values, n: number, k: number): Float64Array {
  return each(n, row => {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += Math.exp(z[row * k + i]);
    return Math.log(sum);
  });
}

/** log-softmax, cross-entropy with label smoothing, and its gradient. */
function rowsCase(n: number, k: number, size: Size): KernelCase {
  const smooth = 0.1;
  return {
    title: `log-softmax, cross-entropy and its gradient of [${n}, ${k}]`,
    size,
    inputs: () => [floats([n, k], 1, -4, 4), indices([n], 2, k), floats([n], 3)],
    launch: (_, [z, labels, g]) => [
      logSoftmax(z),
      crossEntropyRows(z, labels, smooth),
      crossEntropyRowsBackward(z, labels, g, smooth),
    ],
    reference: ([z, labels, g]) => {
      const sums = logSums(z, n, k);
      const logp = each(n * k, i => z[i] - sums[Math.floor(i / k)]);
      const wanted = each(n * k, i => (labels[Math.floor(i / k)] === i % k ? 1 - smooth : 0) + smooth / k);
      const losses = new Float64Array(n);
      for (let i = 0; i < n * k; i++) losses[Math.floor(i / k)] -= wanted[i] * logp[i];
      return [logp, losses, each(n * k, i => (Math.exp(logp[i]) - wanted[i]) * g[Math.floor(i / k)])];
    },
    tolerance: 1e-5,
    work: bytesOf(5 * n * k + 4 * n),
  };
}

/** Sums of a batch: loss, correct ones, samples, and the first step with a NaN (none here). */
function accumulateCase(n: number, k: number, size: Size): KernelCase {
  return {
    title: `loss and accuracy of [${n}, ${k}]`,
    size,
    inputs: () => [
      floats([n], 1),
      floats([n, k], 2),
      indices([n], 3, k),
      { shape: [1], dtype: 'u32', values: Uint32Array.of(7) },
      { shape: [4], dtype: 'f32', values: new Float32Array(4) },
    ],
    launch: (device, inputs) => {
      const storages = inputs.map(t => t.storage);
      device.dispatch(program('accumulate', 'rrrrw'), storages, uniform().uint(n, k), [1, 1, 1]);
      return [inputs[4]];
    },
    reference: ([losses, logits, labels]) => {
      const best = each(n, row => {
        const values = Array.from({ length: k }, (_, i) => logits[row * k + i]);
        return values.indexOf(Math.max(...values));
      });
      return [[Array.from(losses).reduce((a, b) => a + b, 0), best.filter((v, i) => v === labels[i]).length, n, 0]];
    },
    tolerance: 1e-5,
    work: bytesOf(n * k + 2 * n),
  };
}

// -- the optimiser and masks -----------------------------------------------------------------------------------------------------------

function sgdCase(n: number, masked: boolean, size: Size): KernelCase {
  const [lr, momentum, weightDecay] = [0.1, 0.9, 5e-4];
  return {
    title: `${masked ? 'masked ' : ''}step of ${n} weights`,
    size,
    inputs: () => [
      { shape: [1], dtype: 'f32', values: Float32Array.of(lr) },
      ...[1, 2, 3].map(seed => floats([n], seed)),
      ...(masked ? [mask([n], 4)] : []),
    ],
    launch: (device, [hyper, g, w, v, kept]) => {
      const options = { momentum, weightDecay, nesterov: false };
      sgdStep(device, hyper.storage, g.storage, w.storage, v.storage, { mask: kept?.storage }, n, options);
      return [w, v];
    },
    reference: ([, g, w, v, kept]) => {
      const velocity = each(n, i => (kept && kept[i] === 0 ? 0 : momentum * v[i] + g[i] + weightDecay * w[i]));
      return [each(n, i => (kept && kept[i] === 0 ? 0 : w[i] - lr * velocity[i])), velocity];
    },
    tolerance: 1e-5,
    work: bytesOf((masked ? 6 : 5) * n),
  };
}

/** Positions by falling value, ties by index. */
const ranking = (x: Values) => Array.from({ length: x.length }, (_, i) => i).sort((a, b) => x[b] - x[a] || a - b);

function selectCase(n: number, k: number, size: Size): KernelCase {
  return {
    title: `the ${k} largest magnitudes of ${n} among one in four`,
    size,
    inputs: () => [floats([n], 1), mask([n], 2)],
    launch: (_, [x, among]) => [selectMask(x, k, { by: 'magnitude', among: { mask: among, is: 'active' } })],
    reference: ([x, among]) => {
      const chosen = new Set(ranking(each(n, i => (among[i] ? Math.abs(x[i]) : -1))).slice(0, k));
      return [each(n, i => Number(chosen.has(i)))];
    },
    tolerance: 0,
    work: bytesOf(10 * 2 * n), // eight digits and the mask read scores and eligibility, the mask is written
  };
}

function kthCase(n: number, k: number, size: Size): KernelCase {
  return {
    title: `the ${k}-th largest of ${n}`,
    size,
    inputs: () => [floats([n], 1)],
    launch: (_, [x]) => [kthLargest(x, k)],
    reference: ([x]) => [[x[ranking(x)[k - 1]]]],
    tolerance: 0,
    work: bytesOf(10 * n),
  };
}

const few: NormSizes = { n: 3, c: 5, h: 7 };
const middling: NormSizes = { n: 7, c: 9, h: 20 };
const many: NormSizes = { n: 32, c: 64, h: 32 };
const both = [[few, 'small'] as const, [many, 'large'] as const];

/** By kernel file. */
export const trainingCases: Readonly<Record<string, readonly KernelCase[]>> = {
  accumulate: [accumulateCase(70, 10, 'small'), accumulateCase(1024, 100, 'large')],
  attack_step: [
    attackCase('linf', 3, 75, 'small'),
    attackCase('l2', 3, 75, 'small'),
    attackCase('linf', 128, 3072, 'large'),
    attackCase('l2', 128, 3072, 'large'),
  ],
  batch: [batchCase(4, 3, 7, false, 'small'), batchCase(4, 3, 8, true, 'small'), batchCase(128, 3, 32, true, 'large')],
  norm_apply: both.flatMap(([s, size]) => [
    trainCase('slices', s, size),
    forwardCase('slices', s, size),
    backwardCase('slices', s, size),
  ]),
  norm_channel: [...both, [middling, 'small'] as const].flatMap(([s, size]) => [
    trainCase('channels', s, size),
    forwardCase('channels', s, size),
    sumsCase('channels', s, size),
    backwardCase('channels', s, size),
  ]),
  norm_stats: [runningCase(70, 'small'), runningCase(2048, 'large')],
  norm_sums: [sumsCase('slices', few, 'small'), sumsCase('slices', many, 'large')],
  pool: [
    poolCase('max', 6, 9, 'small'),
    poolCase('average', 6, 8, 'small'),
    poolCase('max', 2048, 32, 'large'),
    poolCase('whole', 65536, 4, 'large'),
  ],
  rows: [rowsCase(70, 10, 'small'), rowsCase(4096, 100, 'large')],
  select: [selectCase(301, 20, 'small'), selectCase(2 ** 20, 2 ** 17, 'large')],
  select_value: [kthCase(301, 20, 'small'), kthCase(2 ** 20, 2 ** 17, 'large')],
  sgd: [sgdCase(301, true, 'small'), sgdCase(2 ** 22, false, 'large'), sgdCase(2 ** 22, true, 'large')],
};
