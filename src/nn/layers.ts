/** Layers with PyTorch's semantics and parameter names. */
import * as F from '../autograd/index.ts';
import type { Device } from '../device/index.ts';
import { notWhole } from '../tensor/checks.ts';
import { type ConvOptions, convShape, wrongOption } from '../tensor/conv.ts';
import { elementwise } from '../tensor/elementwise.ts';
import { gatherRows } from '../tensor/index.ts';
import { type Random, Random as RandomStream, Stream } from '../tensor/philox.ts';
import { randomUniform, replayNumber } from '../tensor/random.ts';
import { permute } from '../tensor/shape.ts';
import { ones, type Shape, scope, type Tensor, tensor, zeros } from '../tensor/tensor.ts';
import { defaultBound, uniformInit } from './init.ts';
import { countMacs } from './macs.ts';
import { Module, Parameter, StateBuffer } from './module.ts';
import { noteConvolution } from './plan.ts';

/** Where and with which random numbers layers are made. */
export interface Maker {
  device: Device;
  random: Random;
}

export interface Conv2dOptions extends ConvOptions {
  /** Default true, as in PyTorch. */
  bias?: boolean;
  /** The first values of a weight of this shape; PyTorch's default is `uniformInit` within `defaultBound`. */
  init?: (weight: Shape, random: Random) => Float32Array;
}

/** Slices of a tensor along its second and its first axis, all where undefined is given (not for both). Its own memory goes back. */
function keepSlices(t: Tensor, inputs: readonly number[] | undefined, outputs: readonly number[] | undefined): Tensor {
  const rows = (x: Tensor, at: readonly number[] | undefined) =>
    at ? gatherRows(x, tensor(x.device, at, [at.length], 'i32')) : x;
  const order = t.shape.map((_, d) => (d < 2 ? 1 - d : d));
  const kept = scope(t.device, () => {
    const some = rows(t, outputs);
    return inputs ? permute(rows(permute(some, order), inputs), order) : some;
  });
  t.dispose();
  return kept;
}

/**
 * x [N, IN, H, W] -> [N, OUT, OH, OW]; weight [OUT, IN/groups, K, K], bias [OUT].
 * @throws Error where the groups do not divide both channels, and for sizes that are not whole numbers in range
 */
export class Conv2d extends Module {
  weight: Parameter;
  bias?: Parameter;
  readonly options: ConvOptions;

  constructor({ device, random }: Maker, inputs: number, outputs: number, kernel: number, options: Conv2dOptions = {}) {
    super();
    const { bias = true, init, ...conv } = options;
    this.options = conv;
    const { groups = 1 } = conv;
    const bad =
      notWhole(['inputs', inputs, 1], ['outputs', outputs, 1], ['kernel', kernel, 1]) ??
      wrongOption(conv) ??
      (inputs % groups || outputs % groups ? `${groups} groups do not divide both channels` : undefined);
    if (bad) throw new Error(`Conv2d of ${inputs} to ${outputs} channels: ${bad}`);
    const shape = [outputs, inputs / groups, kernel, kernel];
    const uniform = (of: Shape) => uniformInit(device, of, defaultBound(shape), random);
    this.weight = new Parameter(init ? tensor(device, init(shape, random), shape) : uniform(shape));
    if (bias) this.bias = new Parameter(uniform([outputs]));
  }

  forward(x: Tensor): Tensor {
    const s = convShape(x.shape, this.weight.shape, this.options);
    countMacs(this.weight, s.oh * s.ow * this.weight.size);
    noteConvolution(this.weight, s);
    const y = F.conv2d(x, this.weight, { ...this.options, density: this.weight.density });
    return this.bias ? F.add(y, F.reshape(this.bias, [1, -1, 1, 1])) : y;
  }

  /** Removes all input and output channels but these; undefined keeps all. See `channels.ts`. */
  keepChannels(inputs: readonly number[] | undefined, outputs: readonly number[] | undefined): void {
    this.weight = new Parameter(keepSlices(this.weight, inputs, outputs));
    if (this.bias && outputs) this.bias = new Parameter(keepSlices(this.bias, undefined, outputs));
  }
}

/** x [N, IN] -> [N, OUT]; weight [OUT, IN], bias [OUT]. */
export class Linear extends Module {
  weight: Parameter;
  readonly bias?: Parameter;

  constructor({ device, random }: Maker, inputs: number, outputs: number, bias = true) {
    super();
    const shape = [outputs, inputs];
    this.weight = new Parameter(uniformInit(device, shape, defaultBound(shape), random));
    if (bias) this.bias = new Parameter(uniformInit(device, [outputs], defaultBound(shape), random));
  }

  forward(x: Tensor): Tensor {
    countMacs(this.weight, this.weight.size);
    return F.linear(x, this.weight, this.bias);
  }

  /** Removes all inputs but these; undefined keeps all. See `channels.ts`. */
  keepChannels(inputs: readonly number[] | undefined): void {
    this.weight = new Parameter(keepSlices(this.weight, inputs, undefined));
  }
}

export interface BatchNorm2dOptions {
  /** Added to the variance; 1e-5 by default. */
  eps?: number;
  /** How far the running statistics move towards those of a batch; .1 by default. */
  momentum?: number;
}

/**
 * Batch normalisation over N, H, W: biased batch variance in train mode, running statistics with momentum and unbiased variance.
 * `forward(x)` is the plain layer, `relu(x)` the same fused with ReLU.
 */
export class BatchNorm2d extends Module {
  weight: Parameter;
  bias: Parameter;
  running_mean: StateBuffer;
  running_var: StateBuffer;
  readonly eps: number;
  readonly momentum: number;

  constructor({ device }: Maker, channels: number, { eps = 1e-5, momentum = 0.1 }: BatchNorm2dOptions = {}) {
    super();
    if (!(eps >= 0)) throw new Error(`BatchNorm2d: eps ${eps}, where 0 or more is wanted`);
    if (!(momentum >= 0 && momentum <= 1)) throw new Error(`BatchNorm2d: momentum ${momentum}, where 0 to 1 is wanted`);
    this.eps = eps;
    this.momentum = momentum;
    this.weight = new Parameter(ones(device, [channels]));
    this.bias = new Parameter(zeros(device, [channels]));
    this.running_mean = new StateBuffer(zeros(device, [channels]));
    this.running_var = new StateBuffer(ones(device, [channels]));
  }

  forward(x: Tensor): Tensor {
    return this.apply(x, false);
  }

  /** relu(forward(x)), in one kernel. */
  relu(x: Tensor): Tensor {
    return this.apply(x, true);
  }

  /** Removes all channels but these. See `channels.ts`. */
  keepChannels(channels: readonly number[]): void {
    const kept = (t: Tensor) => keepSlices(t, undefined, channels);
    this.weight = new Parameter(kept(this.weight));
    this.bias = new Parameter(kept(this.bias));
    this.running_mean = new StateBuffer(kept(this.running_mean));
    this.running_var = new StateBuffer(kept(this.running_var));
  }

  private apply(x: Tensor, relu: boolean): Tensor {
    const running = { mean: this.running_mean, var: this.running_var, momentum: this.momentum };
    return F.batchNorm(x, this.weight, this.bias, { train: this.training, eps: this.eps, running, relu });
  }
}

/** (x - mean)/std of each channel: inside the model, so that attacks act on raw pixels. Has no state of its own. */
export class ChannelNorm extends Module {
  private readonly mean: Tensor;
  private readonly std: Tensor;

  constructor({ device }: Maker, mean: readonly number[], std: readonly number[]) {
    super();
    const channel = (values: readonly number[]) => tensor(device, values, [1, values.length, 1, 1]).keep();
    this.mean = channel(mean);
    this.std = channel(std);
  }

  forward(x: Tensor): Tensor {
    return F.record('channelNorm', [x], elementwise('standardise', [x, this.mean, this.std]), g => [F.div(g, this.std)]);
  }

  override dispose(): void {
    this.mean.dispose();
    this.std.dispose();
  }
}

/** max(x, 0), of any shape. */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return F.relu(x);
  }
}

/** Maxima of windows, [N, C, H, W] to [N, C, OH, OW]. */
export class MaxPool2d extends Module {
  readonly options;

  constructor(kernel: number, stride = kernel, padding = 0) {
    super();
    this.options = { kernel, stride, padding };
  }

  forward(x: Tensor): Tensor {
    return F.maxPool2d(x, this.options);
  }
}

/** Averages over a grid of bins, [N, C, H, W] to [N, C, ...size]. */
export class AdaptiveAvgPool2d extends Module {
  readonly size: readonly [number, number];

  constructor(size: readonly [number, number] = [1, 1]) {
    super();
    this.size = size;
  }

  forward(x: Tensor): Tensor {
    return F.adaptiveAvgPool2d(x, this.size);
  }
}

/** [N, ...] -> [N, rest]. */
export class Flatten extends Module {
  forward(x: Tensor): Tensor {
    return F.flatten(x);
  }
}

/**
 * In train mode zeroes each element with probability p and scales the rest by 1/(1-p). Every layer has a random stream of its own, of which each pass
 * takes the next draw; in a captured step every replay draws anew. With `step` the draw is a function of seed, layer and step alone: all passes of a step
 * drop the same elements, and so does the step when it is captured again, as in a resumed run.
 */
export class Dropout extends Module {
  readonly p: number;
  private readonly random: Random;
  /** uint32 [1], the number of the step: raise it between replays of a captured step. */
  step?: Tensor;

  constructor({ random }: Maker, p = 0.5) {
    super();
    if (!(p >= 0 && p < 1)) throw new Error(`dropout probability ${p}: 0 <= p < 1 is wanted`);
    this.p = p;
    this.random = new RandomStream(random.seed, Stream.dropout + 256 * random.draw++);
  }

  forward(x: Tensor): Tensor {
    if (!this.training || this.p === 0) return x;
    const { random, step } = this;
    const draw = step
      ? randomUniform(x.device, x.shape, new RandomStream(random.seed, random.stream), 0, 1, { step })
      : randomUniform(x.device, x.shape, random, 0, 1, { step: replayNumber(x.device) });
    const mask = elementwise('affine', [elementwise('inRange', [draw], [this.p, 1])], [1 / (1 - this.p), 0]);
    return F.mul(x, mask);
  }
}

/** Modules one after another; named by position. */
export class Sequential extends Module {
  [position: number]: Module;
  private readonly order: () => Module[];

  constructor(...modules: Module[]) {
    super();
    modules.forEach((m, i) => {
      this[i] = m;
    });
    this.order = () => modules;
  }

  forward(x: Tensor): Tensor {
    return this.order().reduce((h, m) => m.forward(h), x);
  }
}
