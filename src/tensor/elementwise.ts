/** Elementwise operations with NumPy broadcasting, on float tensors. */
import { type Elementwise, elementwise as launch } from '../kernels/elementwise.ts';
import { broadcastStrides } from '../kernels/layout.ts';
import { wantFloat } from './checks.ts';
import { empty, type Shape, type Tensor } from './tensor.ts';

/** The shape that two shapes broadcast to. @throws Error where they do not */
export function broadcastShape(...shapes: Shape[]): number[] {
  const rank = Math.max(...shapes.map(s => s.length));
  return Array.from({ length: rank }, (_, d) => {
    let size = 1;
    for (const shape of shapes) {
      const own = shape[d - rank + shape.length] ?? 1;
      if (own !== 1 && size !== 1 && own !== size)
        throw new Error(`shapes ${shapes.map(s => `[${s}]`).join(' and ')} do not broadcast`);
      if (own !== 1) size = own;
    }
    return size;
  });
}

/** op of one to four tensors, broadcast; `scalars` are the numbers its expression uses (see kernels/elementwise.ts). */
export function elementwise(op: Elementwise, inputs: readonly Tensor[], scalars: readonly number[] = []): Tensor {
  const shape = inputs.length === 1 ? inputs[0].shape : broadcastShape(...inputs.map(t => t.shape));
  wantFloat(op, ...inputs);
  const { device } = inputs[0];
  const y = empty(device, shape);
  const operands = inputs.map(t => ({ storage: t.storage, strides: broadcastStrides(t.shape, shape), size: t.size }));
  if (y.size > 0) launch(device, op, operands, y.storage, shape, scalars);
  return y;
}

export type TensorOrNumber = Tensor | number;

export const add = (a: Tensor, b: TensorOrNumber): Tensor =>
  typeof b === 'number' ? elementwise('addScalar', [a], [b]) : elementwise('add', [a, b]);
export const sub = (a: Tensor, b: TensorOrNumber): Tensor =>
  typeof b === 'number' ? elementwise('addScalar', [a], [-b]) : elementwise('sub', [a, b]);
export const mul = (a: Tensor, b: TensorOrNumber): Tensor =>
  typeof b === 'number' ? elementwise('mulScalar', [a], [b]) : elementwise('mul', [a, b]);
export const div = (a: Tensor, b: TensorOrNumber): Tensor =>
  typeof b === 'number' ? elementwise('mulScalar', [a], [1 / b]) : elementwise('div', [a, b]);
