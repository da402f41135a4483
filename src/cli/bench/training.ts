/** What the suites train: an architecture, an optimiser and an attack on random images, put together as a run of `sparrow train` does it. */
import { DeviceSplit } from '../../data/device-split.ts';
import type { Device } from '../../device/index.ts';
import { createModel } from '../../nn/models/index.ts';
import type { Module } from '../../nn/module.ts';
import { Sgd } from '../../nn/optim.ts';
import type { Initialiser } from '../../sparse/densities/index.ts';
import { Masks } from '../../sparse/masks.ts';
import { Random, Stream } from '../../tensor/philox.ts';
import { Trainer } from '../../train/trainer.ts';

export interface TrainingOptions {
  readonly arch: string;
  readonly width: number;
  readonly batchSize: number;
  /** Iterations of the training attack. */
  readonly attackSteps: number;
  /** Share of the weights that a random mask keeps; dense without it. */
  readonly density?: number | undefined;
  readonly sparseInit?: Initialiser;
  /** Radius of the attack's ball; that of `attack` by default. */
  readonly eps?: number;
  /** Neither augmentation nor a random start: who begins with the same weights comes to the same losses. */
  readonly repeatable?: boolean;
}

/** [C, H, W] of an image. */
export const imageShape = [3, 32, 32] as const;
export const classes = 10;
/** Of every channel of the images: what the model normalises by. */
export const input = { mean: 0.5, std: 0.25 };
export const optimiser = { lr: 0.01, momentum: 0.9, weightDecay: 5e-4 };
export const attack = { eps: 8 / 255, stepSize: 2 / 255 };

export class Training {
  readonly model: Module;
  readonly masks: Masks | undefined;
  /** Bytes [N, C, H, W] and classes [N] of the batch. */
  readonly batch: { readonly images: Uint8Array; readonly labels: Int32Array };
  private readonly device: Device;
  private readonly batchSize: number;
  private readonly optimiser: Sgd;
  private readonly split: DeviceSplit;
  private readonly trainer: Trainer;
  private done = 0;

  constructor(device: Device, options: TrainingOptions) {
    const { arch, width, batchSize, attackSteps, density, sparseInit = 'igq', eps = attack.eps, repeatable = false } = options;
    this.device = device;
    this.batchSize = batchSize;
    const random = new Random(1, Stream.data);
    const size = imageShape.reduce((a, b) => a * b, 1);
    const images = new Uint8Array(random.words(Math.ceil((batchSize * size) / 4)).buffer);
    const labels = Int32Array.from(random.words(batchSize), word => word % classes);
    const maker = { device, random: new Random(1, Stream.init) };
    this.model = createModel(arch, maker, { width, classes, mean: Array(3).fill(input.mean), std: Array(3).fill(input.std) });
    this.optimiser = new Sgd(this.model.parameters(), optimiser);
    if (density !== undefined) {
      this.masks = new Masks(this.model, 1);
      this.optimiser.masks = this.masks.masks;
      this.masks.initialise(density, sparseInit);
    }
    this.batch = { images: images.subarray(0, batchSize * size), labels };
    this.split = new DeviceSplit(device, { images, labels, count: batchSize }, imageShape, 1);
    this.trainer = new Trainer(device, this.model, this.optimiser, this.split, {
      mode: 'pgd',
      attack: { norm: 'linf', ...attack, eps, steps: attackSteps, randomInit: !repeatable },
      augment: repeatable ? undefined : { crop: 4, flip: true, rotate: 0 },
      seed: 1,
      keepGradients: [],
    });
  }

  /** Submits one step on the whole batch; the first compiles and captures it. */
  async submit(): Promise<void> {
    await this.trainer.step(0, this.batchSize, ++this.done);
  }

  /** One step, done on the device when it returns. */
  async step(): Promise<void> {
    await this.submit();
    await this.device.sync();
  }

  /** One step. @returns the mean loss of its adversarial images, before the update */
  async lossOfStep(): Promise<number> {
    this.trainer.tally.reset();
    await this.submit();
    return (await this.trainer.tally.read()).loss;
  }

  dispose(): void {
    this.trainer.dispose();
    this.split.dispose();
    this.optimiser.dispose();
    this.masks?.dispose();
    this.model.dispose();
  }
}
