/**
 * One optimiser step, captured: batch, attack, forward, backward, update. What changes between replays (position in the order, step number, learning
 * rate) is read from tensors, so a step makes no readback and allocates nothing.
 */
import { type AttackSettings, pgd } from '../adv/pgd.ts';
import * as F from '../autograd/index.ts';
import type { DeviceSplit } from '../data/device-split.ts';
import type { Augmentation } from '../data/types.ts';
import type { Device } from '../device/index.ts';
import type { Module } from '../nn/module.ts';
import type { Sgd } from '../nn/optim.ts';
import { Random, Stream } from '../tensor/philox.ts';
import { capture, type Step, type Tensor, zeros } from '../tensor/tensor.ts';
import { Tally } from './tally.ts';

export interface TrainerOptions {
  mode: 'pgd' | 'sgd';
  attack: AttackSettings;
  augment: Augmentation | undefined;
  seed: number;
  /** Parameters whose gradients a mask update looks at after a step. */
  keepGradients: readonly string[];
}

export class Trainer {
  readonly tally: Tally;
  private readonly device: Device;
  private readonly model: Module;
  private readonly optimiser: Sgd;
  private readonly split: DeviceSplit;
  private readonly options: TrainerOptions;
  private readonly counter: Tensor;
  private readonly steps = new Map<number, Step<Record<string, Tensor>>>();
  private last: Step<Record<string, Tensor>> | undefined;

  constructor(device: Device, model: Module, optimiser: Sgd, split: DeviceSplit, options: TrainerOptions) {
    this.device = device;
    this.model = model;
    this.optimiser = optimiser;
    this.split = split;
    this.options = options;
    this.tally = new Tally(device);
    this.counter = zeros(device, [1], 'u32').keep();
  }

  private async stepFor(n: number): Promise<Step<Record<string, Tensor>>> {
    const found = this.steps.get(n);
    if (found) return found;
    const { mode, attack, augment, seed, keepGradients } = this.options;
    const forward = (x: Tensor) => this.model.forward(x);
    this.model.train();
    const step = capture(this.device, () => {
      const { images, labels } = this.split.batch(n, augment, this.counter);
      const random = new Random(seed, Stream.attack);
      const input = mode === 'pgd' ? pgd(forward, images, labels, attack, random, { step: this.counter }) : images;
      const logits = this.model.forward(input);
      const losses = F.crossEntropy(logits, labels, { reduction: 'none' });
      this.tally.add(losses, logits, labels, this.counter);
      const parameters = this.model.parameters();
      const gradients = F.grad(F.mean(losses), [...parameters.values()]);
      const byName = new Map([...parameters.keys()].map((name, i) => [name, gradients[i]]));
      this.optimiser.step(byName);
      return Object.fromEntries(keepGradients.map(name => [name, byName.get(name)!]));
    });
    await step.capture.ready();
    this.steps.set(n, step);
    return step;
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
    for (const s of this.steps.values()) s.dispose();
    this.tally.dispose();
    this.counter.dispose();
  }
}
