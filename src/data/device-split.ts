/** A split of a data set on the device: bytes uploaded once, batches gathered and augmented by a kernel. */
import { type Device, OutOfMemoryError } from '../device/index.ts';
import { type Augmentation, batch } from '../kernels/batch.ts';
import { Random, Stream } from '../tensor/philox.ts';
import { randomWords } from '../tensor/random.ts';
import { empty, packedBytes, type Tensor, tensor } from '../tensor/tensor.ts';
import type { Split } from './types.ts';

export interface Batch {
  /** [N, C, H, W] in [0, 1] */
  images: Tensor;
  /** int32 [N] */
  labels: Tensor;
}

export class DeviceSplit {
  readonly count: number;
  private readonly shape: readonly number[];
  private readonly data: Tensor;
  private readonly labels: Tensor;
  private readonly order: Tensor;
  private readonly first: Tensor;
  private readonly seed: number;

  /** @param shape [C, H, W] @throws OutOfMemoryError above the adapter's limit for one buffer, saying how many images it takes */
  constructor(device: Device, split: Split, shape: readonly number[], seed: number) {
    this.count = split.count;
    this.shape = shape;
    this.data = upload(device, split).keep();
    this.labels = tensor(device, split.labels, [split.count], 'i32').keep();
    this.order = tensor(
      device,
      Uint32Array.from({ length: split.count }, (_, i) => i),
      [split.count],
      'u32',
    ).keep();
    this.first = tensor(device, [0], [1], 'u32').keep();
    this.seed = seed;
  }

  /** The order in which samples are taken. */
  setOrder(order: ArrayLike<number>): void {
    this.order.write(order);
  }

  /** The position in the order at which the next batch begins. */
  seek(position: number): void {
    this.first.write([position]);
  }

  /**
   * n samples from the position on. Augmentation is a function of the seed and of `step`, a uint32 [1]: raised between replays of a captured step, it
   * makes each augment anew, and a step that is captured again, as in a resumed run, goes on as the one before would have.
   */
  batch(n: number, augment?: Augmentation, step?: Tensor): Batch {
    const { device } = this.data;
    const [c, h, w] = this.shape;
    const images = empty(device, [n, c, h, w]);
    const labels = empty(device, [n], 'i32');
    const active = augment && (augment.crop > 0 || augment.flip || augment.rotate > 0) ? augment : undefined;
    const words = active ? randomWords(device, [4 * n], new Random(this.seed, Stream.augment), step ? { step } : {}) : this.order;
    const source = { data: this.data.storage, labels: this.labels.storage, order: this.order.storage, first: this.first.storage };
    batch(device, source, words.storage, images.storage, labels.storage, { n, c, h, w }, active);
    return { images, labels };
  }

  dispose(): void {
    for (const t of [this.data, this.labels, this.order, this.first]) t.dispose();
  }
}

/** The images of a split, in one buffer. */
function upload(device: Device, { images, count }: Split): Tensor {
  try {
    return packedBytes(device, images as Uint8Array<ArrayBuffer>);
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error;
    const limit = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
    const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
    const fit = Math.floor((limit * count) / images.length);
    throw new OutOfMemoryError(
      `the ${count} images of a split take ${mib(images.length)} MiB, and this adapter has ${mib(limit)} MiB for one buffer: ` +
        `use --limit ${fit} (for validation and test of a training run, --eval-limit ${fit})`,
      { cause: error },
    );
  }
}
