/** A model's state between device and host, by PyTorch's state_dict names. */
import { SparrowError } from '../errors.ts';
import type { Module } from './module.ts';

/** Float32 values with their shape, row-major. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Reads every parameter and buffer. */
export async function readState(model: Module): Promise<Map<string, HostTensor>> {
  const out = new Map<string, HostTensor>();
  for (const [name, t] of model.state()) out.set(name, { shape: t.shape, data: await t.floats() });
  return out;
}

/**
 * Writes a state into a model, in place. Counters (`num_batches_tracked`) may be there and are not needed.
 * @throws SparrowError naming the first tensors that are missing, unexpected or of another shape; then nothing was changed
 */
export function writeState(model: Module, state: ReadonlyMap<string, HostTensor>, source = 'the given state'): void {
  const own = model.state();
  const wrong: string[] = [];
  for (const [name, t] of own) {
    const given = state.get(name);
    if (!given) wrong.push(`${name} is missing`);
    else if (given.shape.join() !== t.shape.join()) wrong.push(`${name} is [${given.shape}] instead of [${t.shape}]`);
    else if (given.data.length !== t.size) wrong.push(`${name} has ${given.data.length} values instead of ${t.size}`);
  }
  for (const name of state.keys()) {
    if (!own.has(name) && !name.endsWith('num_batches_tracked')) wrong.push(`${name} is not in the model`);
  }
  if (wrong.length > 0) {
    const more = wrong.length > 3 ? `, and ${wrong.length - 3} more` : '';
    throw new SparrowError(`${source} does not fit the model: ${wrong.slice(0, 3).join(', ')}${more}`);
  }
  for (const [name, t] of own) t.write(state.get(name)!.data);
}
