/** The network of test/reference/explain.ts in the engine, with random weights that both share. */
import * as F from '../../../src/autograd/index.ts';
import type { Device } from '../../../src/device/index.ts';
import { BatchNorm2d, Conv2d, Linear } from '../../../src/nn/layers.ts';
import { Module } from '../../../src/nn/module.ts';
import { writeState } from '../../../src/nn/state.ts';
import { Random } from '../../../src/tensor/philox.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { random } from '../../engine.ts';
import { type TinyState, tinyShapes } from '../../reference/explain.ts';

export const channels = 3;
export const classes = 4;
export const widths = [5, 6] as const;

export class Tiny extends Module {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly linear: Linear;

  constructor(device: Device) {
    super();
    const make = { device, random: new Random(1) };
    this.conv1 = new Conv2d(make, channels, widths[0], 3, { padding: 1, bias: false });
    this.bn1 = new BatchNorm2d(make, widths[0]);
    this.conv2 = new Conv2d(make, widths[0], widths[1], 3, { padding: 1, stride: 2, bias: false });
    this.bn2 = new BatchNorm2d(make, widths[1]);
    this.linear = new Linear(make, widths[1], classes);
  }

  forward(x: Tensor): Tensor {
    const a1 = this.bn1.relu(this.conv1.forward(x));
    const a2 = this.bn2.relu(this.conv2.forward(a1));
    return this.linear.forward(F.flatten(F.adaptiveAvgPool2d(a2)));
  }
}

/** Weights of the seed, variances positive. */
export function tinyState(seed: number): TinyState {
  const shapes = Object.entries(tinyShapes(channels, widths, classes));
  return Object.fromEntries(
    shapes.map(([name, shape], i) => [
      name,
      name.endsWith('running_var') ? random(shape, seed + i, 0.5, 2) : random(shape, seed + i),
    ]),
  );
}

/** A network with these weights, in eval mode. */
export function tinyNetwork(device: Device, state: TinyState): Tiny {
  const model = new Tiny(device);
  const values = Object.entries(state).map(
    ([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data) }] as const,
  );
  writeState(model, new Map(values));
  return model.eval() as Tiny;
}
