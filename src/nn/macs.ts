/**
 * Counting multiply-adds: layers report theirs while a forward pass is recorded (not run), so the count is of the network as it is built,
 * whatever its architecture.
 */
import { noGrad } from '../autograd/tape.ts';
import type { Device } from '../device/index.ts';
import { capture, empty, type Tensor } from '../tensor/tensor.ts';
import type { Module } from './module.ts';

let counting: Map<Tensor, number> | undefined;

/** Called by layers: the multiply-adds of one image that `weight` takes part in. */
export function countMacs(weight: Tensor, macs: number): void {
  counting?.set(weight, (counting.get(weight) ?? 0) + macs);
}

/**
 * Multiply-adds of one image for each weight, by its state_dict name; convolutions and linear layers only.
 * @param shape [C, H, W] of an image
 */
export function layerMacs(device: Device, model: Module, shape: readonly number[]): Map<string, number> {
  counting = new Map();
  try {
    capture(device, () => {
      model.evaluating(() => noGrad(() => model.forward(empty(device, [1, ...shape]))));
    }).dispose();
    const found = counting;
    return new Map([...model.parameters()].filter(([, p]) => found.has(p)).map(([name, p]) => [name, found.get(p)!]));
  } finally {
    counting = undefined;
  }
}
