/**
 * What tests of the engine share: a device that is closed with the test file, a way to run operations on float64 references, and the
 * comparison of the result with the reference, which also enters the table of worst errors (see scripts/test-table.ts).
 */
import { appendFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, expect } from 'vitest';
import { Device, openDevice } from '../src/device/index.ts';
import { type Dtype, scope, Tensor, tensor } from '../src/tensor/tensor.ts';
import { type Ref, ref } from './reference/array.ts';
import { norm } from './reference/finite.ts';
import { uniform } from './reference/random.ts';

/** Opens the adapter of SPARROW_ADAPTER for a test file, closes it at the file's end. */
export async function testDevice(): Promise<Device> {
  const device = await openDevice();
  afterAll(() => device.close());
  return device;
}

/** The same device in the belief that it is a GPU: it takes a GPU's plans and workgroups. */
export function asGpu(device: Device): Device {
  return new Device(device.gpu, { ...device.adapter, kind: 'gpu', processor: false });
}

// -- data ----------------------------------------------------------------------------------------------------------------------------

/** The nearest float32 values, so that device and reference start from the same numbers. */
export function rounded(a: Ref): Ref {
  return ref(a.shape, Float32Array.from(a.data));
}

/** Uniform float32 values in [low, high). */
export function random(shape: readonly number[], seed: number, low = -1, high = 1): Ref {
  return rounded(uniform(shape, seed, low, high));
}

/** A tensor with the values of a reference. */
export function fromRef(device: Device, a: Ref, dtype: Dtype = 'f32'): Tensor {
  return tensor(device, a.data, a.shape, dtype);
}

/** The values of a tensor as a reference. */
export async function toRef(t: Tensor): Promise<Ref> {
  return ref(t.shape, Float64Array.from(await t.data()));
}

/** An input of `run`: float32, unless said otherwise. */
export type Input = Ref | { values: Ref; dtype: Dtype };

/**
 * Runs operations on uploaded inputs and reads back the tensors that they return, in order. Nothing stays allocated.
 */
export async function run(
  device: Device,
  inputs: readonly Input[],
  work: (...inputs: Tensor[]) => Tensor | Tensor[],
): Promise<Ref[]> {
  const outputs = scope(device, () => {
    const result = work(...inputs.map(a => ('values' in a ? fromRef(device, a.values, a.dtype) : fromRef(device, a))));
    return result instanceof Tensor ? [result] : result;
  });
  const values: Ref[] = [];
  for (const t of outputs) values.push(await toRef(t));
  for (const t of new Set(outputs)) t.dispose();
  return values;
}

// -- properties ----------------------------------------------------------------------------------------------------------------------

export const seeds = fc.integer({ min: 0, max: 1e6 });
export const between = (min: number, max: number) => fc.integer({ min, max });

/** Shapes of random rank, sizes 1 and odd ones among them. */
export function shapes({ minRank = 0, maxRank = 5, maxSize = 7 } = {}): fc.Arbitrary<number[]> {
  return fc.array(fc.oneof(fc.constant(1), between(1, maxSize)), { minLength: minRank, maxLength: maxRank });
}

/** Checks an asynchronous property; a failure prints its seed and the smallest example. */
export function forAll<T>(examples: fc.Arbitrary<T>, check: (example: T) => Promise<void>, numRuns = 30): Promise<void> {
  return fc.assert(fc.asyncProperty(examples, check), { numRuns });
}

// -- comparison ----------------------------------------------------------------------------------------------------------------------

/** The columns of the table: the operation itself, its gradient, the gradient of its gradient. */
export type Order = 'forward' | 'gradient' | 'second';

const worst = new Map<string, { operation: string; order: Order; cases: number; error: number; bound: number }>();

function record(operation: string, order: Order, error: number, bound: number): void {
  const key = `${operation} ${order}`;
  const entry = worst.get(key) ?? { operation, order, cases: 0, error: 0, bound };
  entry.cases++;
  entry.error = Math.max(entry.error, error);
  entry.bound = Math.max(entry.bound, bound);
  worst.set(key, entry);
}

/** Writes what this test file measured as JSON lines to the file that SPARROW_TEST_TABLE names. */
afterAll(() => {
  const table = process.env.SPARROW_TEST_TABLE;
  if (table) for (const entry of worst.values()) appendFileSync(table, `${JSON.stringify(entry)}\n`);
  worst.clear();
});

/**
 * ||actual - expected|| / ||expected||. Inputs are of size 1, and results are mostly; what cancels to nearly nothing is measured against
 * a tenth for each value, because its error comes from terms of size 1.
 */
function errorOf(actual: Ref, expected: Ref): number {
  const difference = actual.data.map((value, i) => value - expected.data[i]);
  return norm(difference) / Math.max(norm(expected.data), 0.1 * Math.sqrt(Math.max(1, expected.data.length)));
}

function check(order: Order, operation: string, actual: Ref, expected: Ref, bound: number): void {
  expect(actual.shape, `shape of ${operation}`).toEqual(expected.shape);
  const error = errorOf(actual, expected);
  expect(error, `${operation}: relative L2 error`).toBeLessThanOrEqual(bound);
  record(operation, order, error, bound);
}

/**
 * Asserts one shape and a relative L2 error of at most `bound` (1e-5: some hundred roundings of float32; 0 for operations that only move
 * values). A test that needs a larger bound says why.
 */
export function checkForward(operation: string, actual: Ref, expected: Ref, bound = 1e-5): void {
  check('forward', operation, actual, expected, bound);
}

/** The same for a gradient; an array for the gradients by several inputs. */
export function checkGradient(
  operation: string,
  actual: Ref | readonly Ref[],
  expected: Ref | readonly Ref[],
  bound = 1e-5,
): void {
  const all = [actual].flat();
  [expected].flat().forEach((e, i) => {
    check('gradient', operation, all[i], e, bound);
  });
}

/** The same for the gradient of a gradient. */
export function checkSecondGradient(operation: string, actual: Ref, expected: Ref, bound = 1e-4): void {
  check('second', operation, actual, expected, bound);
}
