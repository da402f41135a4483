/** What the suites train: an architecture, an optimiser and an attack on random images, put together as a run of `sparrow train` does it. */
import { DeviceSplit } from '../../data/device-split.ts';
import type { Device } from '../../device/index.ts';
import { createModel } from '../../nn/models/index.ts';
import type { Module } from '../../nn/module.ts';
import { Sgd } from '../../nn/optim.ts';
import type { Initialiser } from '../../sparse/densities.ts';
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
}

/** [C, H, W] of an image. */
export const imageShape = [3, 32, 32] as const;
const classes = 10;

export class Training {
  readonly model: Module;
  readonly masks: Masks | undefined;
  private readonly device: Device;
  private readonly batchSize: number;
  private readonly optimiser: Sgd;
  private readonly split: DeviceSplit;
  private readonly trainer: Trainer;
  private done = 0;

  constructor(device: Device, { arch, width, batchSize, attackSteps, density, sparseInit = 'igq' }: TrainingOptions) {
    this.device = device;
    this.batchSize = batchSize;
    const random = new Random(1, Stream.data);
    const size = imageShape.reduce((a, b) => a * b, 1);
    const images = new Uint8Array(random.words(Math.ceil((batchSize * size) / 4)).buffer);
    const labels = Int32Array.from(random.words(batchSize), word => word % classes);
    const maker = { device, random: new Random(1, Stream.init) };
    this.model = createModel(arch, maker, { width, classes, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] });
    this.optimiser = new Sgd(this.model.parameters(), { lr: 0.01, momentum: 0.9, weightDecay: 5e-4 });
    if (density !== undefined) {
      this.masks = new Masks(this.model, 1);
      this.optimiser.masks = this.masks.masks;
      this.masks.initialise(density, sparseInit);
    }
    this.split = new DeviceSplit(device, { images, labels, count: batchSize }, imageShape, 1);
    this.trainer = new Trainer(device, this.model, this.optimiser, this.split, {
      mode: 'pgd',
      attack: { norm: 'linf', eps: 8 / 255, stepSize: 2 / 255, steps: attackSteps, randomInit: true },
      augment: { crop: 4, flip: true, rotate: 0 },
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

  dispose(): void {
    this.trainer.dispose();
    this.split.dispose();
    this.optimiser.dispose();
    this.masks?.dispose();
    this.model.dispose();
  }
}
