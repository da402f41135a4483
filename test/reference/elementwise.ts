/**
 * Elementwise operations with NumPy broadcasting. One row an operation: its formula, then its derivatives by each input.
 *
 * At points without a derivative PyTorch's choice holds: sign' = 0, relu'(0) = 0, abs'(0) = 0, clamp' = 1 on the bounds, and max and
 * min share the gradient equally between equal values.
 */
import { indexOf, indices, map, type Ref, ref, zip } from './array.ts';

/** The shape that all given shapes broadcast to: aligned at the last axis, 1 stretches. */
export function broadcastShape(...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map(shape => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const extents = shapes.map(shape => shape[axis - rank + shape.length] ?? 1);
    const extent = extents.find(n => n !== 1) ?? 1;
    if (extents.some(n => n !== 1 && n !== extent)) throw new RangeError(`shapes ${JSON.stringify(shapes)} do not broadcast`);
    return extent;
  });
}

/** Where in an array of shape `from` the value for an index of the broadcast result comes from. */
function sourceOf(from: readonly number[], index: readonly number[]): number {
  const aligned = index.slice(index.length - from.length);
  return indexOf(
    from,
    aligned.map((i, axis) => (from[axis] === 1 ? 0 : i)),
  );
}

/** Repeats values so that the result has the given shape. */
export function broadcastTo(a: Ref, shape: readonly number[]): Ref {
  return ref(
    shape,
    Array.from(indices(shape), index => a.data[sourceOf(a.shape, index)]),
  );
}

/** The transpose of `broadcastTo`: sums over the axes that were stretched or added. */
export function unbroadcast(gradient: Ref, shape: readonly number[]): Ref {
  const out = ref(shape);
  for (const index of indices(gradient.shape)) out.data[sourceOf(shape, index)] += gradient.data[indexOf(gradient.shape, index)];
  return out;
}

/** An operation of one array. */
export interface Unary {
  forward(x: Ref): Ref;
  backward(x: Ref, gradOutput: Ref): Ref;
}

/** An operation of two arrays that broadcast. */
export interface Binary {
  forward(a: Ref, b: Ref): Ref;
  backward(a: Ref, b: Ref, gradOutput: Ref): [Ref, Ref];
}

type Formula = (a: number, b: number) => number;

function unary(f: (x: number) => number, derivative: (x: number) => number): Unary {
  return {
    forward: x => map(x, f),
    backward: (x, gradOutput) => zip(x, gradOutput, (value, g) => derivative(value) * g),
  };
}

function applyBroadcast(a: Ref, b: Ref, f: Formula): Ref {
  const shape = broadcastShape(a.shape, b.shape);
  return zip(broadcastTo(a, shape), broadcastTo(b, shape), f);
}

function binary(f: Formula, byA: Formula, byB: Formula): Binary {
  const gradient = (a: Ref, b: Ref, gradOutput: Ref, derivative: Formula, shape: number[]) => {
    const local = applyBroadcast(a, b, derivative);
    return unbroadcast(
      zip(local, gradOutput, (d, g) => d * g),
      shape,
    );
  };
  return {
    forward: (a, b) => applyBroadcast(a, b, f),
    backward: (a, b, gradOutput) => [gradient(a, b, gradOutput, byA, a.shape), gradient(a, b, gradOutput, byB, b.shape)],
  };
}

/** 1 where the relation holds, else 0. No gradient. */
function comparison(holds: (a: number, b: number) => boolean): { forward(a: Ref, b: Ref): Ref } {
  return { forward: (a, b) => applyBroadcast(a, b, (left, right) => (holds(left, right) ? 1 : 0)) };
}

const logistic = (x: number) => 1 / (1 + Math.exp(-x));
const share = (wins: boolean, ties: boolean) => (wins ? 1 : ties ? 0.5 : 0);

export const neg = unary(
  x => -x,
  () => -1,
);
export const exp = unary(Math.exp, Math.exp);
export const log = unary(Math.log, x => 1 / x);
export const sqrt = unary(Math.sqrt, x => 0.5 / Math.sqrt(x));
export const rsqrt = unary(
  x => 1 / Math.sqrt(x),
  x => -0.5 * x ** -1.5,
);
export const abs = unary(Math.abs, Math.sign);
export const sign = unary(Math.sign, () => 0);
export const relu = unary(
  x => Math.max(x, 0),
  x => (x > 0 ? 1 : 0),
);
export const tanh = unary(Math.tanh, x => 1 - Math.tanh(x) ** 2);
export const sigmoid = unary(logistic, x => logistic(x) * (1 - logistic(x)));

export const add = binary(
  (a, b) => a + b,
  () => 1,
  () => 1,
);
export const sub = binary(
  (a, b) => a - b,
  () => 1,
  () => -1,
);
export const mul = binary(
  (a, b) => a * b,
  (_a, b) => b,
  a => a,
);
export const div = binary(
  (a, b) => a / b,
  (_a, b) => 1 / b,
  (a, b) => -a / (b * b),
);
export const max = binary(
  Math.max,
  (a, b) => share(a > b, a === b),
  (a, b) => share(b > a, a === b),
);
export const min = binary(
  Math.min,
  (a, b) => share(a < b, a === b),
  (a, b) => share(b < a, a === b),
);
/** a^b; the gradient by b needs a > 0. */
export const pow = binary(
  (a, b) => a ** b,
  (a, b) => b * a ** (b - 1),
  (a, b) => a ** b * Math.log(a),
);

export const eq = comparison((a, b) => a === b);
export const ne = comparison((a, b) => a !== b);
export const lt = comparison((a, b) => a < b);
export const le = comparison((a, b) => a <= b);
export const gt = comparison((a, b) => a > b);
export const ge = comparison((a, b) => a >= b);

/** min(max(x, low), high). */
export const clamp = {
  forward: (x: Ref, low: number, high: number): Ref => map(x, value => Math.min(Math.max(value, low), high)),
  backward: (x: Ref, low: number, high: number, gradOutput: Ref): Ref =>
    zip(x, gradOutput, (value, g) => (value >= low && value <= high ? g : 0)),
};

/** a where the condition is not 0, else b; all three broadcast. The condition has no gradient. */
export const where = {
  forward(condition: Ref, a: Ref, b: Ref): Ref {
    const shape = broadcastShape(condition.shape, a.shape, b.shape);
    const [c, left, right] = [condition, a, b].map(part => broadcastTo(part, shape).data);
    return ref(
      shape,
      c.map((chosen, i) => (chosen !== 0 ? left[i] : right[i])),
    );
  },
  backward(condition: Ref, a: Ref, b: Ref, gradOutput: Ref): [Ref, Ref] {
    const c = broadcastTo(condition, gradOutput.shape);
    const toA = zip(c, gradOutput, (chosen, g) => (chosen !== 0 ? g : 0));
    const toB = zip(c, gradOutput, (chosen, g) => (chosen !== 0 ? 0 : g));
    return [unbroadcast(toA, a.shape), unbroadcast(toB, b.shape)];
  },
};
