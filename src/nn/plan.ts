/** Which kernels compute a model's convolutions: layers report their sizes while a forward pass is recorded (not run), and the device says its choice. */
import { noGrad } from '../autograd/tape.ts';
import type { Device } from '../device/index.ts';
import { type ConvPlan, type ConvShape, planConvolution } from '../kernels/conv.ts';
import type { PassName } from '../kernels/conv-choices.ts';
import { densityKey } from '../kernels/conv-tiles.ts';
import { capture, empty, type Tensor } from '../tensor/tensor.ts';
import type { Module } from './module.ts';

/** One pass of one convolution. */
export interface PlannedPass extends ConvPlan {
  /** State_dict name of its weight. */
  readonly layer: string;
  readonly pass: PassName;
  readonly density: number;
}

const passes: readonly PassName[] = ['forward', 'input gradient', 'weight gradient'];

let watching: Map<Tensor, ConvShape> | undefined;

/** Called by layers: the sizes of a convolution with `weight`. */
export function noteConvolution(weight: Tensor, shape: ConvShape): void {
  watching?.set(weight, shape);
}

/**
 * The kernels of every convolution for batches of a size, in the order of the state_dict, with what was measured as far as it is loaded.
 * @param shape [N, C, H, W]
 */
export function planModel(device: Device, model: Module, shape: readonly number[]): PlannedPass[] {
  const found = new Map<Tensor, ConvShape>();
  watching = found;
  try {
    capture(device, () => {
      model.evaluating(() => noGrad(() => model.forward(empty(device, shape))));
    }).dispose();
  } finally {
    watching = undefined;
  }
  return [...model.parameters()].flatMap(([layer, weight]) => {
    const sizes = found.get(weight);
    if (!sizes) return [];
    const { density } = weight;
    return passes.map(pass => ({ layer, pass, density, ...planConvolution(device, { pass, shape: { ...sizes, density } }) }));
  });
}

/**
 * Stands for the kernels that a model's convolutions get at the densities of their weights. A step that was captured under another key computes
 * right, but with kernels that a new capture, such as that of a resumed run, would not choose.
 */
export function kernelKey(device: Device, model: Module): string {
  return [...model.parameters().values()].map(({ density }) => densityKey(device, density)).join();
}
