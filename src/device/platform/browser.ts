/** The browser's side of the platform: `navigator.gpu`, kernels from the bundle, and local storage. */
import { NoAdapterError } from '../errors.ts';
import type { OpenOptions } from '../index.ts';
import { describe, deviceFrom, type OpenedDevice } from './types.ts';

export { kernelText } from '#kernels';
export { readStored, storedPlace, usesMeasured, writeStored } from './store-local.ts';

export async function requestDevice(_options: OpenOptions): Promise<OpenedDevice> {
  if (!navigator.gpu) {
    throw new NoAdapterError('this browser has no WebGPU here: use a current one, over https or on localhost');
  }
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new NoAdapterError('this browser found no WebGPU adapter: check that hardware acceleration is on');
  return {
    gpu: await deviceFrom(adapter, 'sparrow'),
    adapter: describe('browser', adapter),
    wait: work => work,
  };
}
