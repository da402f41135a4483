/** Looking into a forward pass: what single modules of a network put out, and which of them put out feature maps. */
import { noGrad } from '../autograd/tape.ts';
import type { Device } from '../device/index.ts';
import { capture, empty, type Tensor } from '../tensor/tensor.ts';
import { BatchNorm2d } from './layers.ts';
import type { Module } from './module.ts';

/** The methods that run a module: batch normalisation has a second one, fused with ReLU. */
const methods = ['forward', 'relu'] as const;

/**
 * Runs `work`, and shows `see` every output of the given modules in the order in which they are done: the tensors themselves, so that
 * gradients by them can be asked for. Each module gets methods of its own for that time, which hide those of its class; a network that
 * nobody observes pays nothing.
 */
export function observe<T>(modules: Iterable<Module>, see: (module: Module, output: Tensor) => void, work: () => T): T {
  const watched = [...new Set(modules)];
  for (const module of watched) {
    const seen = (run: Module['forward']) => (x: Tensor) => {
      const output = run.call(module, x);
      see(module, output);
      return output;
    };
    module.forward = seen(module.forward);
    if (module instanceof BatchNorm2d) module.relu = seen(module.relu);
  }
  try {
    return work();
  } finally {
    for (const module of watched) for (const method of methods) Reflect.deleteProperty(module, method);
  }
}

/**
 * The modules that put out feature maps [N, C, H, W], in the order in which they are done, with [C, H, W]. The forward pass is recorded and
 * not run.
 * @param shape [C, H, W] of an image
 */
export function featureMaps(device: Device, model: Module, shape: readonly number[]): Map<string, readonly number[]> {
  const names = new Map([...model.modules()].map(([name, module]) => [module, name]));
  const maps = new Map<string, readonly number[]>();
  const see = (module: Module, { rank, shape: [, ...map] }: Tensor) => {
    if (rank === 4) maps.set(names.get(module)!, map);
  };
  const pass = () => noGrad(() => model.forward(empty(device, [1, ...shape])));
  capture(device, () => void observe(names.keys(), see, pass)).dispose();
  return maps;
}
