/** Losses and correct predictions summed on the device over many batches, read once (accumulate.wgsl). */

import type { Device } from '../device/index.ts';
import { uniform } from '../device/index.ts';
import { program } from '../kernels/kernel.ts';
import { fill, type Tensor, zeros } from '../tensor/tensor.ts';

export interface Totals {
  /** Mean loss and the share of correct predictions, of `count` samples. */
  loss: number;
  accuracy: number;
  count: number;
  /** The step (from 0) whose losses first held a NaN. */
  nanAt: number | undefined;
}

export class Tally {
  /** [loss sum, correct, count, first NaN step + 1]. */
  readonly sums: Tensor;

  constructor(device: Device) {
    this.sums = zeros(device, [4]).keep();
  }

  /** Adds a batch: losses [N], logits [N, K], labels [N]; `step` names it. May be captured. */
  add(losses: Tensor, logits: Tensor, labels: Tensor, step: Tensor): void {
    const [n, k] = logits.shape;
    losses.device.dispatch(
      program('accumulate', 'rrrrw'),
      [losses.storage, logits.storage, labels.storage, step.storage, this.sums.storage],
      uniform().uint(n, k),
      [1, 1, 1],
    );
  }

  reset(): void {
    fill(this.sums, 0);
  }

  async read(): Promise<Totals> {
    const [loss, correct, count, nan] = await this.sums.floats();
    return { loss: loss / count, accuracy: correct / count, count, nanAt: nan > 0 ? nan - 1 : undefined };
  }

  dispose(): void {
    this.sums.dispose();
  }
}
