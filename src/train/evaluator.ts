/** Accuracy on clean and on attacked images, in eval mode, as captured steps: the same kernels for every batch of a size. */
import { type AttackSettings, pgd } from '../adv/pgd.ts';
import * as F from '../autograd/index.ts';
import type { DeviceSplit } from '../data/device-split.ts';
import type { Device } from '../device/index.ts';
import type { Module } from '../nn/module.ts';
import { Random, Stream } from '../tensor/philox.ts';
import { copyInto } from '../tensor/shape.ts';
import { capture, type Step, scope, type Tensor, zeros } from '../tensor/tensor.ts';
import { CapturedSteps } from './captured-steps.ts';
import { Tally } from './tally.ts';

export interface Accuracies {
  sa: number;
  ra: number;
  /** Mean cross-entropy on the attacked images. */
  loss: number;
}

interface SizedStep extends Step<unknown> {
  images: Tensor;
  labels: Tensor;
}

export class Evaluator {
  private readonly device: Device;
  private readonly model: Module;
  private readonly attack: AttackSettings;
  private readonly seed: number;
  private readonly clean: Tally;
  private readonly robust: Tally;
  private readonly counter: Tensor;
  private readonly steps: CapturedSteps<SizedStep>;

  constructor(device: Device, model: Module, attack: AttackSettings, seed: number) {
    this.device = device;
    this.model = model;
    this.attack = attack;
    this.seed = seed;
    this.clean = new Tally(device);
    this.robust = new Tally(device);
    this.counter = zeros(device, [1], 'u32').keep();
    this.steps = new CapturedSteps(device, model);
  }

  private async stepFor(n: number, shape: readonly number[]): Promise<SizedStep> {
    const found = this.steps.get(n);
    if (found) return found;
    const images = zeros(this.device, shape).keep();
    const labels = zeros(this.device, [n], 'i32').keep();
    const forward = (x: Tensor) => this.model.forward(x);
    const score = (x: Tensor, tally: Tally) => {
      scope(this.device, () => {
        const logits = F.noGrad(() => this.model.forward(x));
        const losses = F.noGrad(() => F.crossEntropy(logits, labels, { reduction: 'none' }));
        tally.add(losses, logits, labels, this.counter);
      });
    };
    const training = this.model.training;
    this.model.eval();
    const step = capture(this.device, () => {
      score(images, this.clean);
      const adv = pgd(forward, images, labels, this.attack, new Random(this.seed, Stream.attack, 2 ** 16), {
        step: this.counter,
      });
      score(adv, this.robust);
    });
    this.model.train(training);
    await step.capture.ready();
    const dispose = () => {
      step.dispose();
      images.dispose();
      labels.dispose();
    };
    const made = { ...step, dispose, images, labels };
    this.steps.set(n, made);
    return made;
  }

  /**
   * Scores the first `count` samples of a split.
   * @param draw names the random starts: the same number gives the same ones
   * @param onBatch called after each batch with the samples done; returning true stops (the result is then undefined)
   */
  async score(
    split: DeviceSplit,
    count: number,
    batchSize: number,
    draw: number,
    onBatch?: (done: number) => boolean | undefined,
  ): Promise<Accuracies | undefined> {
    this.clean.reset();
    this.robust.reset();
    for (let at = 0, i = 0; at < count; at += batchSize, i++) {
      const n = Math.min(batchSize, count - at);
      split.seek(at);
      const batch = scope(this.device, () => split.batch(n));
      const step = await this.stepFor(n, batch.images.shape);
      copyInto(batch.images, step.images);
      copyInto(batch.labels, step.labels);
      batch.images.dispose();
      batch.labels.dispose();
      this.counter.write([draw * 2 ** 16 + i]);
      step.run();
      await this.device.sync();
      if (onBatch?.(at + n)) return undefined;
    }
    const clean = await this.clean.read();
    const robust = await this.robust.read();
    return { sa: clean.accuracy, ra: robust.accuracy, loss: robust.loss };
  }

  dispose(): void {
    this.steps.dispose();
    this.clean.dispose();
    this.robust.dispose();
    this.counter.dispose();
  }
}
