/** Why a network says what it says of clean and of attacked images, and how its loss lies around them: what `sparrow explain` computes. */
import { predict } from '../../adv/batch.ts';
import { type Forward, pgd } from '../../adv/pgd.ts';
import { DeviceSplit } from '../../data/device-split.ts';
import type { DataSet } from '../../data/index.ts';
import type { Device } from '../../device/index.ts';
import type { Module } from '../../nn/module.ts';
import { Random, Stream } from '../../tensor/philox.ts';
import { argmax } from '../../tensor/reduce.ts';
import { scope, type Tensor, tensor } from '../../tensor/tensor.ts';
import type { RunHooks } from '../api.ts';
import { ballOf, pgdOf } from '../attack-settings.ts';
import { openTunedDevice } from '../kernels.ts';
import { loadNetwork, type NetworkFile, readNetworkFile } from '../network-file.ts';
import { type AttackedImages, Evaluation, openSplit } from '../robustness.ts';
import type { Explanation, ImageSurfaces, View, WeightSurfaces } from './explanation.ts';
import { gradCam } from './grad-cam.ts';
import { inputSurface } from './input-surface.ts';
import { type ExplainedLayer, explainedLayer } from './layer.ts';
import { saliency } from './saliency.ts';
import type { ExplainSettings } from './settings.ts';
import { disposeDirection, filterNormalised, type Pairs, weightSurface } from './weight-surface.ts';

/** What random directions are drawn for; the draw of an image's is its index. */
const PLANE_DRAWS = 2 ** 20;
const FILTER_DRAWS = 2 ** 21;
const RECRAFT_DRAWS = 2 ** 22;

/**
 * Explains a checkpoint on the first images of a split.
 * @throws UsageError and FileError for what is wrong with settings, data or checkpoint; SparrowError where an attack needs more classes
 */
export async function explain(settings: ExplainSettings, hooks: RunHooks = {}): Promise<Explanation> {
  const file = readNetworkFile(settings.checkpoint!);
  const data = await openSplit(settings, settings.dataset ?? file.metadata.dataset, hooks);
  const device = await openTunedDevice(settings, hooks);
  try {
    return await new Explaining(device, file, data, settings, hooks).all();
  } finally {
    device.close();
  }
}

class Explaining {
  private readonly model: Module;
  private readonly forward: Forward;
  private readonly layer: ExplainedLayer;

  constructor(
    private readonly device: Device,
    private readonly file: NetworkFile,
    private readonly data: DataSet,
    private readonly settings: ExplainSettings,
    private readonly hooks: RunHooks,
  ) {
    this.model = loadNetwork(device, file, data, settings, hooks);
    this.forward = x => this.model.forward(x);
    this.layer = explainedLayer(device, this.model, data.shape, settings.layer);
  }

  async all(): Promise<Explanation> {
    const { device, data, settings, forward, layer } = this;
    const { result, images } = await new Evaluation(device, data, settings, forward, forward, this.hooks, true).all();
    const { shape, labels, adv } = images!;
    const clean = await this.cleanImages(shape);
    const view = await this.view('clean images', shape, clean);
    const [attack] = settings.attack;
    const wanted = new Set(settings.figures);
    return {
      about: {
        checkpoint: this.file.path,
        arch: this.file.metadata.arch ?? settings.arch!,
        dataset: data.name,
        split: settings.split,
        attack,
        ...ballOf(settings),
        seed: settings.seed,
        adapter: device.adapter.description,
        sa: result.sa,
        ra: result.attacks[attack]?.ra ?? result.sa,
        layer: layer.name,
        map: layer.map,
        flip: settings.flip,
        eigen: settings.eigen,
      },
      classes: data.classes,
      shape,
      labels,
      clean: view,
      adv: attack === 'none' ? view : await this.view('attacked images', shape, adv),
      ...(wanted.has('input') && { around: await this.around(shape, clean, labels) }),
      ...(wanted.has('weights') && { weights: await this.inWeights(clean, images!) }),
    };
  }

  /** The images on the host, with the bits that the attack began from. */
  private async cleanImages(shape: readonly number[]): Promise<Float32Array> {
    const { device, data, settings } = this;
    const split = new DeviceSplit(device, data[settings.split as 'test'], data.shape, settings.seed);
    const values = new Float32Array(shape.reduce((a, b) => a * b));
    for (const { at, n } of this.batches(shape[0])) {
      split.seek(at);
      const { images, labels } = scope(device, () => split.batch(n));
      values.set(await images.floats(), (at * values.length) / shape[0]);
      for (const t of [images, labels]) t.dispose();
    }
    split.dispose();
    return values;
  }

  private batches(count: number): { at: number; n: number }[] {
    const { batchSize } = this.settings;
    return Array.from({ length: Math.ceil(count / batchSize) }, (_, b) => ({
      at: b * batchSize,
      n: Math.min(batchSize, count - b * batchSize),
    }));
  }

  /** Images `at` to `at + n` of [N, C, H, W] on the device. */
  private upload([, ...image]: readonly number[], values: Float32Array, at: number, n: number): Tensor {
    const size = image.reduce((a, b) => a * b);
    return tensor(this.device, values.subarray(at * size, (at + n) * size), [n, ...image]);
  }

  private async view(label: string, shape: readonly number[], images: Float32Array): Promise<View> {
    const { figures, flip, eigen } = this.settings;
    const [count, , height, width] = shape;
    const predicted = new Int32Array(count);
    const maps = () => new Float32Array(count * height * width);
    const found = {
      ...(figures.includes('cam') && { cam: maps() }),
      ...(figures.includes('saliency') && { saliency: maps() }),
    };
    for (const { at, n } of this.batches(count)) {
      const x = this.upload(shape, images, at, n);
      const classes = scope(this.device, () => argmax(predict(this.forward, x), { axes: [1] }));
      predicted.set((await classes.data()) as Int32Array, at);
      const place = at * height * width;
      found.cam?.set(await gradCam(this.model, this.layer.module, x, classes, { flip, eigen }), place);
      found.saliency?.set(await saliency(this.forward, x, classes), place);
      for (const t of [x, classes]) t.dispose();
      this.hooks.onProgress?.({ label: `explaining ${label}`, done: at + n, total: count });
    }
    return { images, predicted, ...found };
  }

  private async around(shape: readonly number[], images: Float32Array, labels: Int32Array): Promise<ImageSurfaces> {
    const { grid, radius, surfaces, seed, batchSize } = this.settings;
    const count = Math.min(surfaces, shape[0]);
    const axis = axisOf(grid, radius);
    const loss = new Float32Array(count * grid * grid);
    const predicted = new Int32Array(count * grid * grid);
    for (let i = 0; i < count; i++) {
      const image = this.upload(shape, images, i, 1);
      const label = tensor(this.device, [labels[i]], [1], 'i32');
      const random = new Random(seed, Stream.user, PLANE_DRAWS + i);
      const surface = await inputSurface(this.forward, image, label, ballOf(this.settings), axis, random, batchSize);
      loss.set(surface.loss, i * grid * grid);
      predicted.set(surface.predicted, i * grid * grid);
      for (const t of [image, label]) t.dispose();
      this.hooks.onProgress?.({ label: 'loss around images', done: i + 1, total: count });
    }
    return { axis, count, loss, predicted };
  }

  private async inWeights(clean: Float32Array, { shape, adv, labels }: AttackedImages): Promise<WeightSurfaces> {
    const { device, settings, model } = this;
    const { grid, weightRadius, recraft, seed } = settings;
    const axis = axisOf(grid, weightRadius);
    const batches = this.batches(shape[0]).map(
      ({ at, n }): Pairs => ({
        images: this.upload(shape, clean, at, n),
        adv: this.upload(shape, adv, at, n),
        labels: tensor(device, labels.subarray(at, at + n), [n], 'i32'),
      }),
    );
    const random = new Random(seed, Stream.user, FILTER_DRAWS);
    const directions = [0, 1].map(() => filterNormalised(model, this.file.masks, random));
    const attack = pgdOf(settings, recraft);
    // the same random start at every point, so that points differ by their weights alone
    const craft = (x: Tensor, y: Tensor) => pgd(this.forward, x, y, attack, new Random(seed, Stream.attack, RECRAFT_DRAWS));
    const surface = await weightSurface(model, batches, [directions[0], directions[1]], axis, {
      ...(recraft > 0 && { craft }),
      onPoint: (done, total) => this.hooks.onProgress?.({ label: 'loss in weight space', done, total }),
    });
    const density = await movable(directions[0]);
    for (const direction of directions) disposeDirection(direction);
    for (const t of batches.flatMap(pairs => Object.values(pairs))) t.dispose();
    return { axis, ...surface, density, recraft };
  }
}

/** G coordinates from -radius to radius; the middle one is exactly 0. */
export function axisOf(grid: number, radius: number): number[] {
  const half = (grid - 1) / 2;
  return Array.from({ length: grid }, (_, i) => ((i - half) / half) * radius);
}

/** The share of a direction that is not 0. */
async function movable(direction: ReadonlyMap<string, Tensor>): Promise<number> {
  let [active, all] = [0, 0];
  for (const t of direction.values()) {
    const values = await t.floats();
    active += values.reduce((n, v) => n + (v === 0 ? 0 : 1), 0);
    all += values.length;
  }
  return active / all;
}
