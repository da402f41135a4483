/**
 * Weight averaging (`--ema`): an exponential moving average of the network's state, e <- decay·e + (1 - decay)·w after every optimiser step, from e = w at
 * the start. Parameters and running statistics are both averaged. Where it is on, the averaged network is what is validated, tested and called best; the
 * network that is trained is not touched by it. Masked weights are 0 in both, and kernels skip as much of both.
 */
import { type Module, Parameter } from '../nn/module.ts';
import { elementwise } from '../tensor/elementwise.ts';
import { copyInto } from '../tensor/shape.ts';
import { scope, type Tensor } from '../tensor/tensor.ts';

export class Average {
  private readonly pairs: readonly { name: string; from: Tensor; to: Tensor }[];
  private readonly decay: number;

  /** @param model what is averaged @param averaged another network of the same architecture, which becomes its copy and then its average */
  constructor(
    model: Module,
    readonly averaged: Module,
    decay: number,
  ) {
    const own = averaged.state();
    this.pairs = [...model.state()].map(([name, from]) => ({ name, from, to: own.get(name)! }));
    this.decay = decay;
    this.restart();
  }

  /** e = w: at the beginning, and when the weights were replaced. */
  restart(): void {
    for (const { from, to } of this.pairs) copyInto(from, to);
    this.tell();
  }

  /** One step of the average; may be captured. */
  follow(): void {
    for (const { from, to } of this.pairs) {
      scope(to.device, () => copyInto(elementwise('blend', [to, from], [this.decay, 1 - this.decay]), to));
    }
  }

  /** Makes every masked weight of the average exactly 0: after a mask update for what it dropped, and when both networks were read from a file. */
  apply(masks: ReadonlyMap<string, Tensor>): void {
    for (const { name, to } of this.pairs) {
      const mask = masks.get(name);
      if (mask) scope(to.device, () => copyInto(elementwise('mul', [to, mask]), to));
    }
    this.tell();
  }

  /** Lets kernels know that as much of a layer is left as in the network that is trained. */
  private tell(): void {
    for (const { from, to } of this.pairs) if (from instanceof Parameter && to instanceof Parameter) to.density = from.density;
  }
}
