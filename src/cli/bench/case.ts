/** A kernel case: inputs, a launch, what float64 says it gives, and how much work it is. The tables of cases are in the files beside this one. */
import type { Device } from '../../device/index.ts';
import { Random } from '../../tensor/philox.ts';
import { type Dtype, type HostArray, sizeOf, type Tensor } from '../../tensor/tensor.ts';

/** What is uploaded for a case. */
export interface Input {
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  readonly values: HostArray;
}

export interface KernelCase {
  /** What runs on which sizes, for the table. */
  readonly title: string;
  /** Small cases are quick on any adapter; large ones are what a GPU is timed with. */
  readonly size: 'small' | 'large';
  /** Made anew for every run of the case. */
  inputs(): Input[];
  /** Launches the kernel, and the helpers it cannot do without. @returns what the reference is compared with */
  launch(device: Device, inputs: readonly Tensor[]): Tensor[];
  /** The same outputs in float64 from the same numbers. */
  reference(inputs: readonly HostArray[]): ArrayLike<number>[];
  /** Largest error allowed, relative to the largest magnitude of the output; 0 where every bit is decided. */
  readonly tolerance: number;
  /** For adapters with matrix units only. */
  readonly matrixUnits?: true;
  /** Floating-point operations of a launch, or the bytes it has to move where these decide. */
  readonly work: { readonly flops: number } | { readonly bytes: number };
}

/** Uniform float32 values in [low, high), the same for the same seed. */
export function floats(shape: readonly number[], seed: number, low = -1, high = 1): Input {
  const values = new Random(seed).uniform(sizeOf(shape)).map(v => low + v * (high - low));
  return { shape, dtype: 'f32', values: values as Float32Array<ArrayBuffer> };
}

/** int32 values in [0, below). */
export function indices(shape: readonly number[], seed: number, below: number): Input {
  const values = Int32Array.from(new Random(seed).words(sizeOf(shape)), word => word % below);
  return { shape, dtype: 'i32', values };
}

/** uint32 words. */
export function words(shape: readonly number[], seed: number): Input {
  return { shape, dtype: 'u32', values: Uint32Array.from(new Random(seed).words(sizeOf(shape))) };
}

/** float32 0 or 1, one in four a 1. */
export function mask(shape: readonly number[], seed: number): Input {
  const values = Float32Array.from(new Random(seed).uniform(sizeOf(shape)), v => (v < 0.25 ? 1 : 0));
  return { shape, dtype: 'f32', values };
}

/** An array of n elements from a function of the index. */
export function each(n: number, value: (i: number) => number): Float64Array {
  return Float64Array.from({ length: n }, (_, i) => value(i));
}

/** Bytes of n float32 elements. */
export const bytesOf = (n: number): { bytes: number } => ({ bytes: 4 * n });
