/**
 * Reductions over any axes. Every one is a function of the list of values that fall onto one output, so that list is made first.
 */
import { indexOf, indices, normaliseAxes, type Ref, ref } from './array.ts';

/** `axes`: which are reduced (all where absent, negative counts from the end). `keepdims`: they stay with extent 1. */
export interface ReduceOptions {
  axes?: readonly number[];
  keepdims?: boolean;
}

/** For every output, the positions in the input that it reduces, in row-major order. */
function members(shape: readonly number[], axes: readonly number[]): number[][] {
  const kept = shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
  const reduced = shape.map((extent, axis) => (axes.includes(axis) ? extent : 1));
  return Array.from(indices(kept), base =>
    Array.from(indices(reduced), step =>
      indexOf(
        shape,
        base.map((i, axis) => i + step[axis]),
      ),
    ),
  );
}

function outputShape(shape: readonly number[], axes: readonly number[], keepdims = false): number[] {
  if (keepdims) return shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
  return shape.filter((_, axis) => !axes.includes(axis));
}

/** A reduction from its formula on a list of values and the formula's gradient on the same list. */
function reduction<Options extends ReduceOptions>(
  f: (values: number[], options: Options) => number,
  gradient: (values: number[], options: Options) => number[],
) {
  return {
    forward(x: Ref, options: Options = {} as Options): Ref {
      const axes = normaliseAxes(x.shape.length, options.axes);
      const lists = members(x.shape, axes);
      return ref(
        outputShape(x.shape, axes, options.keepdims),
        lists.map(list =>
          f(
            list.map(i => x.data[i]),
            options,
          ),
        ),
      );
    },
    backward(x: Ref, options: Options, gradOutput: Ref): Ref {
      const dx = ref(x.shape);
      members(x.shape, normaliseAxes(x.shape.length, options.axes)).forEach((list, out) => {
        const local = gradient(
          list.map(i => x.data[i]),
          options,
        );
        list.forEach((i, k) => {
          dx.data[i] = local[k] * gradOutput.data[out];
        });
      });
      return dx;
    },
  };
}

const total = (values: number[]) => values.reduce((sum, value) => sum + value, 0);
const average = (values: number[]) => total(values) / values.length;

/** Position of the first value that no other beats. */
function firstBest(values: number[], beats: (a: number, b: number) => boolean): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (beats(values[i], values[best])) best = i;
  return best;
}

const firstMax = (values: number[]) => firstBest(values, (a, b) => a > b);
const firstMin = (values: number[]) => firstBest(values, (a, b) => a < b);
const oneAt = (length: number, position: number) => Array.from({ length }, (_, i) => (i === position ? 1 : 0));

export const sum = reduction(total, values => values.map(() => 1));
export const mean = reduction(average, values => values.map(() => 1 / values.length));

/** Largest value; among equals the gradient goes to the one at the lowest index. */
export const max = reduction(
  values => values[firstMax(values)],
  values => oneAt(values.length, firstMax(values)),
);

/** Smallest value; among equals the gradient goes to the one at the lowest index. */
export const min = reduction(
  values => values[firstMin(values)],
  values => oneAt(values.length, firstMin(values)),
);

/** Variance about the mean, divided by n - 1 (`unbiased`) or by n. Unbiased needs n >= 2. */
export const variance = reduction<ReduceOptions & { unbiased?: boolean }>(
  (values, { unbiased }) => {
    const mu = average(values);
    return total(values.map(value => (value - mu) ** 2)) / (values.length - (unbiased ? 1 : 0));
  },
  (values, { unbiased }) => {
    const mu = average(values);
    return values.map(value => (2 * (value - mu)) / (values.length - (unbiased ? 1 : 0)));
  },
);

/**
 * Index of the first largest value, counted in row-major order within the reduced axes: along one axis the index on it, over all axes
 * the position in the whole array.
 */
export const argmax = {
  forward(x: Ref, options: ReduceOptions = {}): Ref {
    const axes = normaliseAxes(x.shape.length, options.axes);
    const lists = members(x.shape, axes);
    return ref(
      outputShape(x.shape, axes, options.keepdims),
      lists.map(list => firstMax(list.map(i => x.data[i]))),
    );
  },
};
