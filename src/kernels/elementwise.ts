/**
 * Elementwise operations as one-line WGSL expressions. An expression sees its inputs as `a`, `b`, `c`, `d` and two numbers of the launch as `p.s0`
 * and `p.s1`; `T` is the element type (f32 or vec4f) and `M` its comparison type, so write constants as `T(0.0)`.
 */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';
import { type Layout, mergeDims } from './layout.ts';

const truth = (condition: string) => `select(T(0.0), T(1.0), ${condition})`;

/** tanh of a small number by its series, whose next term is 0.009·a¹¹: of 1 - 2/(e^2a + 1) only what 1 rounds to would be left. */
const smallTanh = [1, -1 / 3, 2 / 15, -17 / 315, 62 / 2835]
  .map(c => `T(${c})`)
  .reduceRight((rest, c) => `${c} + a * a * (${rest})`);

export const expressions = {
  // one input
  copy: 'a',
  neg: '-a',
  exp: 'exp(a)',
  log: 'log(a)',
  sqrt: 'sqrt(a)',
  rsqrt: 'inverseSqrt(a)',
  abs: 'abs(a)',
  sign: 'sign(a)',
  /** 0 of a NaN, or NaN: WGSL lets an implementation assume that there are none. */
  relu: 'max(a, T(0.0))',
  square: 'a * a',
  reciprocal: 'T(1.0) / a',
  sigmoid: 'T(1.0) / (T(1.0) + exp(-a))',
  tanh: `select(T(1.0) - T(2.0) / (exp(clamp(T(2.0) * a, T(-40.0), T(40.0))) + T(1.0)), a * (${smallTanh}), abs(a) < T(0.25))`,
  floor: 'floor(a)',
  ceil: 'ceil(a)',
  addScalar: 'a + T(p.s0)',
  mulScalar: 'a * T(p.s0)',
  affine: 'a * T(p.s0) + T(p.s1)',
  /** a^s0 for s0 > 0 by |a|, and times s1 where a < 0: 1 for an even exponent, -1 for an odd one, NaN for one that is not whole. */
  powScalar: 'select(pow(abs(a), T(p.s0)), T(0.0), a == T(0.0)) * select(T(1.0), T(p.s1), a < T(0.0))',
  clamp: 'clamp(a, T(p.s0), T(p.s1))',
  inRange: truth('(a >= T(p.s0)) & (a <= T(p.s1))'),
  isZero: truth('a == T(0.0)'),
  // two inputs
  add: 'a + b',
  sub: 'a - b',
  mul: 'a * b',
  div: 'a / b',
  max: 'max(a, b)',
  min: 'min(a, b)',
  pow: 'pow(a, b)',
  equal: truth('a == b'),
  less: truth('a < b'),
  lessEqual: truth('a <= b'),
  greater: truth('a > b'),
  greaterEqual: truth('a >= b'),
  /** a where b > 0: the gradient of relu, from its output. */
  gateByPositive: 'select(T(0.0), a, b > T(0.0))',
  /** a + s0·b */
  axpy: 'a + T(p.s0) * b',
  /** s0·a + s1·b */
  blend: 'T(p.s0) * a + T(p.s1) * b',
  // three inputs
  /** b where a is not zero, else c */
  where: 'select(c, b, a != T(0.0))',
  /** a clamped to [b, c] */
  clampTo: 'clamp(a, b, c)',
  /** (a - b)/c: normalisation in the order that rounds least */
  standardise: '(a - b) / c',
} as const;

export type Elementwise = keyof typeof expressions;

export interface Operand {
  storage: Storage;
  /** Strides over the output's dimensions, 0 where broadcast. */
  strides: readonly number[];
  size: number;
}

/** y = op(inputs) over `shape`; numbers of the expression in `scalars`. */
export function elementwise(
  device: Device,
  op: Elementwise,
  inputs: readonly Operand[],
  y: Storage,
  shape: readonly number[],
  scalars: readonly number[] = [],
): void {
  const size = shape.reduce((a, b) => a * b, 1);
  const layout: Layout = mergeDims(
    shape,
    inputs.map(x => x.strides),
  );
  const channels = channelLayout(inputs, layout, size);
  const linear = channels !== undefined || inputs.every(x => x.size === 1 || x.size === size);
  const kind = (x: Operand) => (!linear || x.size === size ? 0 : x.size === 1 ? 1 : 2);
  const names = ['a', 'b', 'c', 'd'].slice(0, inputs.length);
  // an invocation costs a processor as much as adding a vec4
  const per = device.adapter.processor && linear && size % 16 === 0 ? 4 : 1;
  const variant = {
    OP: op,
    INPUTS: inputs.length,
    STRIDED: linear ? 0 : 1,
    PER: per,
    KIND: inputs.map(kind),
  };
  const params = uniform()
    .uint(size, layout.dims.length)
    .float(scalars[0] ?? 0, scalars[1] ?? 0)
    .uint(...pad8(channels ?? layout.dims));
  for (const strides of layout.strides) params.uint(...pad8(strides));
  device.dispatch(
    program('elementwise', `${'r'.repeat(inputs.length)}w`, variant, 'main', {
      ARGS: names.map(n => `${n}: T`).join(', '),
      VALUES: names.map((_, k) => `v${k}`).join(', '),
      EXPR: expressions[op],
    }),
    [...inputs.map(x => x.storage), y],
    params,
    gridFor(linear ? Math.ceil(size / (4 * per)) : size, 64),
  );
}

/**
 * [channels, elements of a channel's plane] where every input is whole, a single number, or has one element for each channel of an
 * [N, C, H, W] whose planes are whole vec4s.
 */
function channelLayout(inputs: readonly Operand[], { dims, strides }: Layout, size: number): [number, number] | undefined {
  if (dims.length < 2 || dims.length > 3) return undefined;
  const [c, plane] = dims.slice(-2);
  const fits = inputs.every((x, k) => {
    const [toChannel, toPlane] = strides[k].slice(-2);
    return x.size === size || x.size === 1 || (x.size === c && toChannel === 1 && toPlane === 0);
  });
  return fits && plane % 4 === 0 ? [c, plane] : undefined;
}

function pad8(values: readonly number[]): number[] {
  return Array.from({ length: 8 }, (_, i) => values[i] ?? 0);
}
