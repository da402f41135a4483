/** Elementwise operations with their derivatives. Broadcast inputs get their gradient summed back to their own shape. */
import { wantFloat } from '../tensor/checks.ts';
import { elementwise as raw, type TensorOrNumber } from '../tensor/elementwise.ts';
import { ones, type Tensor } from '../tensor/tensor.ts';
import { sumTo } from './reduce.ts';
import { record } from './tape.ts';

/** The gradient of an input that was broadcast to g's shape. */
const back = (g: Tensor, input: Tensor): Tensor => sumTo(g, input.shape);

// -- two inputs ----------------------------------------------------------------------------------------------------------------------

/** a + b. Shapes broadcast as in NumPy, here and in all operations of two tensors. @throws Error if they do not */
export function add(a: Tensor, b: TensorOrNumber): Tensor {
  if (typeof b === 'number') return record('add', [a], raw('addScalar', [a], [b]), g => [g]);
  return record('add', [a, b], raw('add', [a, b]), (g, [na, nb]) => [na ? back(g, a) : undefined, nb ? back(g, b) : undefined]);
}

/** a - b, broadcast. */
export function sub(a: Tensor, b: TensorOrNumber): Tensor {
  if (typeof b === 'number') return add(a, -b);
  return record('sub', [a, b], raw('sub', [a, b]), (g, [na, nb]) => [
    na ? back(g, a) : undefined,
    nb ? back(neg(g), b) : undefined,
  ]);
}

/** a·b, broadcast. */
export function mul(a: Tensor, b: TensorOrNumber): Tensor {
  if (typeof b === 'number') return record('mul', [a], raw('mulScalar', [a], [b]), g => [mul(g, b)]);
  return record('mul', [a, b], raw('mul', [a, b]), (g, [na, nb]) => [
    na ? back(mul(g, b), a) : undefined,
    nb ? back(mul(g, a), b) : undefined,
  ]);
}

/** a/b, broadcast. */
export function div(a: Tensor, b: TensorOrNumber): Tensor {
  if (typeof b === 'number') return mul(a, 1 / b);
  const y = raw('div', [a, b]);
  return record('div', [a, b], y, (g, [na, nb]) => [
    na ? back(div(g, b), a) : undefined,
    nb ? back(neg(div(mul(g, y), b)), b) : undefined,
  ]);
}

/**
 * a^b. For a number b as in PyTorch: a may be 0, and negative where b is whole (else NaN); the gradient b·a^(b-1) is 0 for b = 0. For a tensor b only
 * a > 0: the gradient by it has log a.
 */
export function pow(a: Tensor, b: TensorOrNumber): Tensor {
  if (typeof b !== 'number') return exp(mul(log(a), b));
  return record('pow', [a], rawPow(a, b), g => [mul(g, b === 0 ? 0 : mul(pow(a, b - 1), b))]);
}

/** a^b, exact for 0, 1 and 2. */
function rawPow(a: Tensor, b: number): Tensor {
  wantFloat('pow', a);
  if (b === 0) return ones(a.device, a.shape);
  if (b < 0) return raw('reciprocal', [rawPow(a, -b)]);
  if (b === 1) return raw('copy', [a]);
  if (b === 2) return raw('square', [a]);
  return raw('powScalar', [a], [b, Number.isInteger(b) ? (b % 2 === 0 ? 1 : -1) : Number.NaN]);
}

/** The larger of two; where they are equal each gets half of the gradient. */
export function maximum(a: Tensor, b: Tensor): Tensor {
  return record('maximum', [a, b], raw('max', [a, b]), (g, [na, nb]) => {
    const share = raw('blend', [raw('greater', [a, b]), raw('equal', [a, b])], [1, 0.5]);
    return [na ? back(mul(g, share), a) : undefined, nb ? back(mul(g, raw('affine', [share], [-1, 1])), b) : undefined];
  });
}

/** The smaller of two; where they are equal each gets half of the gradient. */
export function minimum(a: Tensor, b: Tensor): Tensor {
  return neg(maximum(neg(a), neg(b)));
}

// -- one input -----------------------------------------------------------------------------------------------------------------------

/** -a */
export function neg(a: Tensor): Tensor {
  return record('neg', [a], raw('neg', [a]), g => [neg(g)]);
}

/** e^a */
export function exp(a: Tensor): Tensor {
  const y = raw('exp', [a]);
  return record('exp', [a], y, g => [mul(g, y)]);
}

/** The natural logarithm. */
export function log(a: Tensor): Tensor {
  return record('log', [a], raw('log', [a]), g => [div(g, a)]);
}

/** √a */
export function sqrt(a: Tensor): Tensor {
  const y = raw('sqrt', [a]);
  return record('sqrt', [a], y, g => [div(mul(g, 0.5), y)]);
}

/** 1/√a */
export function rsqrt(a: Tensor): Tensor {
  const y = raw('rsqrt', [a]);
  return record('rsqrt', [a], y, g => [mul(mul(g, -0.5), mul(y, mul(y, y)))]);
}

/** a² */
export function square(a: Tensor): Tensor {
  return record('square', [a], raw('square', [a]), g => [mul(mul(g, 2), a)]);
}

/** |a|; the derivative at 0 is 0. */
export function abs(a: Tensor): Tensor {
  return record('abs', [a], raw('abs', [a]), g => [mul(g, raw('sign', [a]))]);
}

/**
 * max(a, 0). Of a NaN it may make 0, where PyTorch's stays NaN: WGSL lets an implementation assume that there are none. So no NaN is to reach it: a file
 * with one is refused when it is read, and training checks its weights.
 */
export function relu(a: Tensor): Tensor {
  const y = raw('relu', [a]);
  return record('relu', [a], y, g => [gate(g, y)]);
}

/** g where y > 0, else 0: linear in g, and flat in y. The gradient of relu, by its output y. */
export function gate(g: Tensor, y: Tensor): Tensor {
  return record('gate', [g], raw('gateByPositive', [g, y]), gg => [gate(gg, y)]);
}

/** 1/(1 + e^-a) */
export function sigmoid(a: Tensor): Tensor {
  const y = raw('sigmoid', [a]);
  return record('sigmoid', [a], y, g => [mul(g, mul(y, add(neg(y), 1)))]);
}

/** The hyperbolic tangent. */
export function tanh(a: Tensor): Tensor {
  const y = raw('tanh', [a]);
  return record('tanh', [a], y, g => [mul(g, add(neg(square(y)), 1))]);
}

/** a limited to [lo, hi]; the gradient passes inside and on the bounds. */
export function clamp(a: Tensor, lo: number, hi: number): Tensor {
  return record('clamp', [a], raw('clamp', [a], [lo, hi]), g => [mul(g, raw('inRange', [a], [lo, hi]))]);
}

/** b where `condition` is not 0, else c. */
export function where(condition: Tensor, b: Tensor, c: Tensor): Tensor {
  return record('where', [b, c], raw('where', [condition, b, c]), (g, [nb, nc]) => [
    nb ? back(mul(g, raw('affine', [raw('isZero', [condition])], [-1, 1])), b) : undefined,
    nc ? back(mul(g, raw('isZero', [condition])), c) : undefined,
  ]);
}

// -- no derivative -------------------------------------------------------------------------------------------------------------------

/** -1, 0 or 1, and sign(0) = 0. */
export const sign = (a: Tensor): Tensor => raw('sign', [a]);
/** 1 where a = b, else 0; broadcast. */
export const equal = (a: Tensor, b: Tensor): Tensor => raw('equal', [a, b]);
/** 1 where a < b, else 0; broadcast. */
export const less = (a: Tensor, b: Tensor): Tensor => raw('less', [a, b]);
/** 1 where a <= b, else 0; broadcast. */
export const lessEqual = (a: Tensor, b: Tensor): Tensor => raw('lessEqual', [a, b]);
/** 1 where a > b, else 0; broadcast. */
export const greater = (a: Tensor, b: Tensor): Tensor => raw('greater', [a, b]);
/** 1 where a >= b, else 0; broadcast. */
export const greaterEqual = (a: Tensor, b: Tensor): Tensor => raw('greaterEqual', [a, b]);
