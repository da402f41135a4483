/** Stochastic gradient descent with momentum, as PyTorch's: g += wd·w; v = mu·v + g; w -= lr·v (nesterov: w -= lr·(g + mu·v)). */
import { SparrowError } from '../errors.ts';
import { sgdStep } from '../kernels/optim.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import type { Parameter } from './module.ts';

export interface SgdOptions {
  lr: number;
  momentum?: number;
  weightDecay?: number;
  nesterov?: boolean;
}

/** SGD over parameters by name, under masks where there are some; its steps are by the formula above. */
export class Sgd {
  /** Momentum by parameter name. */
  readonly velocity = new Map<string, Tensor>();
  /** Momentum without the mask, where it is kept (growth by momentum needs it). */
  readonly denseVelocity = new Map<string, Tensor>();
  /** Masks by parameter name: masked weights and their momentum are set to exactly 0 by every step. */
  masks: ReadonlyMap<string, Tensor> = new Map();
  private readonly hyper: Tensor;
  private readonly parameters: ReadonlyMap<string, Parameter>;
  private readonly options: { momentum: number; weightDecay: number; nesterov: boolean };

  /** @throws SparrowError where there are no parameters, and for numbers that PyTorch refuses: negative or NaN, or nesterov without momentum */
  constructor(parameters: ReadonlyMap<string, Parameter>, { lr, momentum = 0, weightDecay = 0, nesterov = false }: SgdOptions) {
    if (parameters.size === 0) throw new SparrowError('Sgd: no parameters: are the weights fields of the model, as Parameter?');
    for (const [name, value] of Object.entries({ lr, momentum, weightDecay })) checkNumber(name, value);
    if (nesterov && momentum === 0) throw new SparrowError('Sgd: nesterov needs a momentum above 0');
    this.parameters = parameters;
    this.options = { momentum, weightDecay, nesterov };
    const { device } = [...parameters.values()][0];
    this.hyper = zeros(device, [1]).keep();
    for (const [name, p] of parameters) this.velocity.set(name, zeros(device, p.shape).keep());
    this.setLr(lr);
  }

  /** Keeps a momentum that ignores the masks for these parameters. @throws SparrowError for a name that is none of them */
  keepDenseVelocity(names: Iterable<string>): void {
    for (const name of names) {
      const v = this.velocity.get(name);
      if (!v) throw unknown(name);
      this.denseVelocity.set(name, zeros(v.device, v.shape).keep());
    }
  }

  /** Takes effect for everything launched afterwards, replays of captured steps included. @throws SparrowError where it is negative or NaN */
  setLr(lr: number): void {
    checkNumber('lr', lr);
    this.hyper.write([lr]);
  }

  /**
   * One update in place.
   * @param gradients by parameter name; parameters without one are left alone
   * @throws SparrowError for a name that is no parameter's, or a gradient of another shape; then nothing was changed
   */
  step(gradients: ReadonlyMap<string, Tensor>): void {
    for (const [name, g] of gradients) {
      const p = this.parameters.get(name);
      if (!p) throw unknown(name);
      if (`${g.shape}` !== `${p.shape}`) throw new SparrowError(`Sgd: ${name} is [${p.shape}], and its gradient [${g.shape}]`);
    }
    for (const [name, g] of gradients) {
      const p = this.parameters.get(name)!;
      const storages = { mask: this.masks.get(name)?.storage, dense: this.denseVelocity.get(name)?.storage };
      sgdStep(
        p.device,
        this.hyper.storage,
        g.storage,
        p.storage,
        this.velocity.get(name)!.storage,
        storages,
        p.size,
        this.options,
      );
    }
  }

  dispose(): void {
    for (const v of [...this.velocity.values(), ...this.denseVelocity.values()]) v.dispose();
    this.hyper.dispose();
  }
}

function checkNumber(name: string, value: number): void {
  if (!(value >= 0)) throw new SparrowError(`Sgd: ${name} ${value}: a number of at least 0 is wanted`);
}

const unknown = (name: string) => new SparrowError(`Sgd: ${name} is no parameter of this optimiser`);
