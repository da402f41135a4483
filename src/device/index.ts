/** Opening a device: `openDevice()` finds the best adapter of this platform. */
import { requestDevice } from '#platform';
import { Device, type Precision } from './device.ts';

export type { Capture } from './capture.ts';
export { type AdapterDescription, Device, type DeviceStats, type Precision } from './device.ts';
export * from './errors.ts';
export { gridFor } from './grid.ts';
export { Storage } from './pool.ts';
export type { KernelTime } from './profiler.ts';
export { type Grid, type Program, UniformWriter, uniform } from './program.ts';

/** Which adapter to take: `auto` is a GPU, else lavapipe, else the embedded SwiftShader. */
export const adapterKinds = ['auto', 'gpu', 'lavapipe', 'swiftshader'] as const;
export type AdapterKind = (typeof adapterKinds)[number];

export interface OpenOptions {
  /** Default: the environment variable SPARROW_ADAPTER, else `auto`. */
  adapter?: AdapterKind;
  /** Which of several adapters of a kind: part of its name, or its number from 0. */
  gpu?: string;
  /** Default `f32`; `f16` has an effect where the adapter has matrix units. */
  precision?: Precision;
}

/**
 * Opens a device with the largest limits of the adapter.
 * @throws NoAdapterError with the fix, where there is none of the wanted kind
 */
export async function openDevice(options: OpenOptions = {}): Promise<Device> {
  const { gpu, adapter, wait } = await requestDevice(options);
  return new Device(gpu, adapter, wait, options.precision);
}
