/** What operations ask of their operands before a launch: kernels read bits and trust the sizes they are given. */
import type { Shape, Tensor } from './tensor.ts';

/** @throws Error for a tensor that is not of floats, whose bits a kernel would take for some */
export function wantFloat(op: string, ...tensors: readonly Tensor[]): void {
  for (const t of tensors) if (t.dtype !== 'f32') throw new Error(`${op} of a tensor of type ${t.dtype}: f32 is wanted`);
}

/** @throws Error unless the elements of `at` are integers @param what the operation and its operands, at the message's beginning */
export function wantIntegers(what: string, at: Tensor, wanted = 'int32 indices'): void {
  if (at.dtype === 'f32') throw new Error(`${what}: ${wanted} are wanted, tensor(device, values, [${at.shape}], 'i32')`);
}

/** @throws Error unless z is [N, K] */
export function wantLogits(z: Tensor): void {
  if (z.rank !== 2) throw new Error(`logits of shape [${z.shape}]: [N, K] is wanted`);
}

/** @throws Error unless z is float logits [N, K] and there is an integer label for each row */
export function wantLabels(op: string, z: Tensor, labels: Tensor): void {
  wantFloat(op, z);
  wantLogits(z);
  const n = z.shape[0];
  if (labels.dtype === 'f32' || labels.size !== n)
    throw new Error(
      `${op} of logits [${z.shape}] with ${labels.dtype} labels [${labels.shape}]: int32 class indices [${n}] are wanted, tensor(device, values, [${n}], 'i32')`,
    );
}

/** What is wrong with the first value that is not a whole number of its least or more, if one is not. */
export function notWhole(...values: readonly (readonly [name: string, value: number, least: number])[]): string | undefined {
  const bad = values.find(([, value, least]) => !(Number.isInteger(value) && value >= least));
  return bad && `${bad[0]} ${bad[1]}, where a whole number of ${bad[2]} or more is wanted`;
}

/** The axis from 0. @throws Error where a tensor of the shape does not have it */
export function axisOf(what: string, shape: Shape, axis: number): number {
  const d = axis < 0 ? axis + shape.length : axis;
  if (!(d in shape)) throw new Error(`${what}: there is no such dimension`);
  return d;
}
