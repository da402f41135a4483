/** The masks that a run begins with. */
import type { DeviceSplit } from '../data/device-split.ts';
import type { DataSet } from '../data/index.ts';
import type { Module } from '../nn/module.ts';
import { assertReachable, type Initialiser } from '../sparse/densities/index.ts';
import type { Masks } from '../sparse/masks.ts';
import { initialiseBySaliency, needsSamples, type Saliency, saliencies } from '../sparse/saliency/index.ts';
import { Random, Stream } from '../tensor/philox.ts';
import { scope } from '../tensor/tensor.ts';
import type { TrainConfig } from './config.ts';

/** Samples of a class, on average, that SNIP and GraSP look at; GraSP's paper, section 4. */
const SAMPLES_PER_CLASS = 10;

/** The sizes of as few batches of at most `most` as hold n samples; the larger ones, by one at most, come first. */
export function evenBatches(n: number, most: number): number[] {
  const count = Math.ceil(n / most);
  return Array.from({ length: count }, (_, i) => Math.ceil((n - i) / count));
}

/**
 * Makes the initial masks of `--sparse-init` at `--density`. SNIP and GraSP look at the first training samples of epoch 0's order, without
 * augmentation: 10 a class and at least a batch, in batches that differ by one at most. @throws UsageError for a density that cannot be reached
 */
export async function initialiseMasks(
  masks: Masks,
  model: Module,
  train: DeviceSplit,
  data: DataSet,
  config: TrainConfig,
): Promise<void> {
  const { density, sparseInit, batchSize, seed } = config;
  if (!Object.hasOwn(saliencies, sparseInit)) {
    assertReachable(masks.layers, density, masks.layers.length); // each keeps one weight at least
    return masks.initialise(density, sparseInit as Initialiser);
  }
  const how = sparseInit as Saliency;
  const wanted = needsSamples(how) ? Math.min(train.count, Math.max(batchSize, SAMPLES_PER_CLASS * data.classes.length)) : 0;
  if (config.shuffle) train.setOrder(new Random(seed, Stream.shuffle, 0).permutation(train.count));
  const { device } = [...model.parameters().values()][0];
  let at = 0;
  const samples = evenBatches(wanted, batchSize).map(n => {
    train.seek(at);
    at += n;
    return scope(device, () => train.batch(n));
  });
  await initialiseBySaliency(masks, how, { model, samples, shape: data.shape, density });
  for (const { images, labels } of samples) {
    images.dispose();
    labels.dispose();
  }
}
