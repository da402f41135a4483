/**
 * One step of a training mode, captured: batch, attack, forward, backward, update. What changes between replays (position in the order, step number,
 * learning rate) is read from tensors, so a step makes no readback and allocates nothing.
 */
import type { AttackSettings } from '../adv/pgd.ts';
import * as F from '../autograd/index.ts';
import type { DeviceSplit } from '../data/device-split.ts';
import type { Augmentation } from '../data/types.ts';
import type { Device } from '../device/index.ts';
import type { Module } from '../nn/module.ts';
import type { Sgd } from '../nn/optim.ts';
import { Random, Stream } from '../tensor/philox.ts';
import { capture, type Step, type Tensor, zeros } from '../tensor/tensor.ts';
import type { Average } from './average.ts';
import { CapturedSteps } from './captured-steps.ts';
import { type Gradients, type ModeName, type ModeSettings, trainingModes } from './modes/index.ts';
import { Tally } from './tally.ts';

export interface TrainerOptions {
  mode: ModeName;
  /** What the mode takes beside its attack; absent: the values at which the terms vanish. */
  settings?: ModeSettings;
  /** [N, C, H, W] of a full batch, for modes that keep tensors of its shape. */
  batchShape?: readonly number[];
  /** Moved by every optimiser step. */
  average?: Average | undefined;
  attack: AttackSettings;
  augment: Augmentation | undefined;
  seed: number;
  /** Parameters whose gradients a mask update looks at after a step. */
  keepGradients: readonly string[];
}

const plain: ModeSettings = { smoothing: 0, beta: 0, awpGamma: 0, replays: 1 };

export class Trainer {
  readonly tally: Tally;
  /** What the mode keeps between steps: part of a checkpoint. */
  readonly state = new Map<string, Tensor>();
  private readonly device: Device;
  private readonly model: Module;
  private readonly optimiser: Sgd;
  private readonly split: DeviceSplit;
  private readonly options: TrainerOptions;
  private readonly counter: Tensor;
  private readonly steps: CapturedSteps<Step<Record<string, Tensor>>>;
  private last: Step<Record<string, Tensor>> | undefined;
  /** Milliseconds of recording steps and having their kernels compiled. */
  preparation = 0;

  constructor(device: Device, model: Module, optimiser: Sgd, split: DeviceSplit, options: TrainerOptions) {
    this.device = device;
    this.model = model;
    this.optimiser = optimiser;
    this.split = split;
    this.options = options;
    this.tally = new Tally(device);
    this.counter = zeros(device, [1], 'u32').keep();
    this.steps = new CapturedSteps(device, model);
    const { mode, batchShape } = options;
    const kept = trainingModes[mode].state?.(batchShape ?? []) ?? {};
    for (const [name, shape] of Object.entries(kept)) this.state.set(name, zeros(device, shape).keep());
  }

  private async stepFor(n: number): Promise<Step<Record<string, Tensor>>> {
    const found = this.steps.get(n);
    if (found) return found;
    const begun = performance.now();
    const { mode, attack, augment, seed, keepGradients, average, settings = plain } = this.options;
    this.model.train();
    const step = capture(this.device, () => {
      const { images, labels } = this.split.batch(n, augment, this.counter);
      let last: Gradients = new Map();
      const descend = (losses: Tensor, logits: Tensor, gradients: Gradients) => {
        this.tally.add(losses, logits, labels, this.counter);
        this.optimiser.step(gradients);
        average?.follow();
        last = gradients;
      };
      const { model, state } = this;
      const random = new Random(seed, Stream.attack);
      const draw = { step: this.counter };
      const { masks } = this.optimiser;
      trainingModes[mode].step(
        { model, attack, settings, random, draw, masks, state, gradients: losses => this.gradientsOf(losses), descend },
        images,
        labels,
      );
      return Object.fromEntries(keepGradients.map(name => [name, last.get(name)!]));
    });
    await step.capture.ready();
    this.preparation += performance.now() - begun;
    this.steps.set(n, step);
    return step;
  }

  private gradientsOf(losses: Tensor): Gradients {
    const parameters = this.model.parameters();
    const gradients = F.grad(F.mean(losses), [...parameters.values()]);
    return new Map([...parameters.keys()].map((name, i) => [name, gradients[i]]));
  }

  /** One step on n samples from `position` of the order; `iteration` numbers it over the whole run. */
  async step(position: number, n: number, iteration: number): Promise<void> {
    const step = await this.stepFor(n);
    this.split.seek(position);
    this.counter.write([iteration]);
    step.run();
    this.device.flush();
    this.last = step;
  }

  /** The kept gradients of the last step, by parameter name. */
  gradients(): Map<string, Tensor> {
    return new Map(Object.entries(this.last?.result ?? {}));
  }

  dispose(): void {
    this.steps.dispose();
    for (const t of this.state.values()) t.dispose();
    this.tally.dispose();
    this.counter.dispose();
  }
}
