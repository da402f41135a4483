/** Looking into a forward pass: what single modules of a network put out, which of them put out feature maps, and which everything passes. */
import { enableGrad, history, noGrad, track } from '../autograd/tape.ts';
import type { Device } from '../device/index.ts';
import { capture, empty, type Tensor } from '../tensor/tensor.ts';
import { BatchNorm2d } from './layers.ts';
import type { Module } from './module.ts';

/**
 * Runs `work`, and shows `see` every output of the given modules in the order in which they are done: the tensors themselves, so that
 * gradients by them can be asked for. Each module gets methods of its own for that time, which hide those that it has; a network that
 * nobody observes pays nothing. `work` is synchronous, and may observe in turn.
 */
export function observe<T>(modules: Iterable<Module>, see: (module: Module, output: Tensor) => void, work: () => T): T {
  const seen = (module: Module, output: Tensor) => {
    see(module, output);
    return output;
  };
  return replaceOutputs(modules, seen, work);
}

/**
 * Runs `work` as `observe` does; what `replace` makes of an output takes its place in the network. Batch normalisation is run by two methods: by itself,
 * and fused with ReLU.
 */
export function replaceOutputs<T>(
  modules: Iterable<Module>,
  replace: (module: Module, output: Tensor) => Tensor,
  work: () => T,
): T {
  const watched: { module: Module; method: string; own: PropertyDescriptor | undefined }[] = [];
  try {
    for (const module of new Set(modules))
      for (const method of module instanceof BatchNorm2d ? ['forward', 'relu'] : ['forward']) {
        const run: (...args: unknown[]) => Tensor = Reflect.get(module, method);
        const own = Object.getOwnPropertyDescriptor(module, method);
        const value = (...args: unknown[]) => replace(module, run.apply(module, args));
        Object.defineProperty(module, method, { value, configurable: true, writable: true });
        watched.push({ module, method, own });
      }
    return work();
  } finally {
    for (const { module, method, own } of watched)
      if (own) Object.defineProperty(module, method, own);
      else Reflect.deleteProperty(module, method);
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
  const pass = () => model.evaluating(() => noGrad(() => model.forward(empty(device, [1, ...shape]))));
  capture(device, () => void observe(names.keys(), see, pass)).dispose();
  return maps;
}

/** A part of a network that ends where everything passes: what follows sees the output of `end`, and nothing else of all that was before. */
export interface Section {
  readonly end: Module;
  /** The modules that were done since the section before, in their order: the end is the last. */
  readonly modules: readonly Module[];
}

/**
 * A network cut into sections, as many as it has: of a chain the layers, of a residual network the blocks and the layers outside of them. Each module is
 * taken to run once. The forward pass is recorded and not run.
 * @param shape [C, H, W] of an image
 */
export function sections(device: Device, model: Module, shape: readonly number[]): Section[] {
  const done: { module: Module; output: Tensor }[] = [];
  let passed = new Set<Tensor>();
  capture(device, () => {
    const images = track(empty(device, [1, ...shape]));
    const all = [...model.modules()].map(([, module]) => module);
    const see = (module: Module, output: Tensor) => void done.push({ module, output });
    passed = passedByAll(
      images,
      enableGrad(() => observe(all, see, () => model.evaluating(() => model.forward(images)))),
    );
  }).dispose();
  const found: Section[] = [];
  let modules: Module[] = [];
  for (const { module, output } of done) {
    modules.push(module);
    // a module that hands on the output of one within it is no other place
    if (!passed.delete(output)) continue;
    found.push({ end: module, modules });
    modules = [];
  }
  return found;
}

/**
 * The tensors that every path from x to y goes through. Walks back from y, the latest tensor first, and keeps those that paths are open at: where
 * it is one alone, all go through it.
 */
function passedByAll(x: Tensor, y: Tensor): Set<Tensor> {
  const known = new Map<Tensor, boolean>([[x, true]]);
  const comesFromX = (t: Tensor): boolean => {
    if (!known.has(t)) known.set(t, history(t)?.inputs.some(comesFromX) ?? false);
    return known.get(t)!;
  };
  const madeAt = (t: Tensor) => history(t)?.id ?? -1;
  const found = new Set<Tensor>();
  const open = new Set([y]);
  while (open.size > 0) {
    const latest = [...open].reduce((a, b) => (madeAt(a) > madeAt(b) ? a : b));
    if (open.size === 1) found.add(latest);
    open.delete(latest);
    for (const input of history(latest)?.inputs ?? []) if (comesFromX(input)) open.add(input);
  }
  return found;
}
