/**
 * Operations that move values: each output is one input value or a constant. They are given by where an output comes from; the
 * gradient sends every output's gradient back to that place and adds.
 */
import { indexOf, indices, normaliseAxes, type Ref, ref } from './array.ts';

/** The output's shape and, for an output index, the input index it copies (`undefined`: it is the constant). */
interface Move {
  shape: number[];
  from: (index: number[]) => number[] | undefined;
}

function moveForward(x: Ref, { shape, from }: Move, constant = 0): Ref {
  return ref(
    shape,
    Array.from(indices(shape), index => {
      const origin = from(index);
      return origin ? x.data[indexOf(x.shape, origin)] : constant;
    }),
  );
}

function moveBackward(xShape: readonly number[], { shape, from }: Move, gradOutput: Ref): Ref {
  const dx = ref(xShape);
  for (const index of indices(shape)) {
    const origin = from(index);
    if (origin) dx.data[indexOf(xShape, origin)] += gradOutput.data[indexOf(shape, index)];
  }
  return dx;
}

const inside = (shape: readonly number[], index: number[]) => index.every((i, axis) => i >= 0 && i < shape[axis]);
const replaceAt = (index: number[], axis: number, value: number) => index.map((i, a) => (a === axis ? value : i));

function permuteMove(x: Ref, order: readonly number[]): Move {
  return { shape: order.map(axis => x.shape[axis]), from: index => order.map((_, axis) => index[order.indexOf(axis)]) };
}

/** Axis i of the result is axis order[i] of x. */
export const permute = {
  forward: (x: Ref, order: readonly number[]): Ref => moveForward(x, permuteMove(x, order)),
  backward: (x: Ref, order: readonly number[], gradOutput: Ref): Ref => moveBackward(x.shape, permuteMove(x, order), gradOutput),
};

function flipMove(x: Ref, axes: readonly number[]): Move {
  const flipped = normaliseAxes(x.shape.length, axes);
  return { shape: x.shape, from: index => index.map((i, axis) => (flipped.includes(axis) ? x.shape[axis] - 1 - i : i)) };
}

/** The given axes reversed. */
export const flip = {
  forward: (x: Ref, axes: readonly number[]): Ref => moveForward(x, flipMove(x, axes)),
  backward: (x: Ref, axes: readonly number[], gradOutput: Ref): Ref => moveBackward(x.shape, flipMove(x, axes), gradOutput),
};

/** [before, after] of every axis; a negative amount is no padding and not allowed. */
export type Padding = readonly (readonly [before: number, after: number])[];

function padMove(x: Ref, padding: Padding): Move {
  return {
    shape: x.shape.map((extent, axis) => padding[axis][0] + extent + padding[axis][1]),
    from: index => {
      const origin = index.map((i, axis) => i - padding[axis][0]);
      return inside(x.shape, origin) ? origin : undefined;
    },
  };
}

/** A border of a constant. */
export const pad = {
  forward: (x: Ref, padding: Padding, value = 0): Ref => moveForward(x, padMove(x, padding), value),
  backward: (x: Ref, padding: Padding, gradOutput: Ref): Ref => moveBackward(x.shape, padMove(x, padding), gradOutput),
};

/** Per axis: first index, end (exclusive) and positive step. */
export type Ranges = readonly (readonly [start: number, end: number, step: number])[];

function sliceMove(ranges: Ranges): Move {
  return {
    shape: ranges.map(([start, end, step]) => Math.ceil((end - start) / step)),
    from: index => index.map((i, axis) => ranges[axis][0] + i * ranges[axis][2]),
  };
}

/** x[start:end:step, ...]; every axis has a range. */
export const slice = {
  forward: (x: Ref, ranges: Ranges): Ref => moveForward(x, sliceMove(ranges)),
  backward: (x: Ref, ranges: Ranges, gradOutput: Ref): Ref => moveBackward(x.shape, sliceMove(ranges), gradOutput),
};

/** Top left corner of every sample's window. */
export type Corners = readonly (readonly [top: number, left: number])[];

function cropMove(x: Ref, corners: Corners, size: readonly [number, number]): Move {
  return {
    shape: [x.shape[0], x.shape[1], ...size],
    from: ([n, c, h, w]) => {
      const origin = [n, c, h + corners[n][0], w + corners[n][1]];
      return inside(x.shape, origin) ? origin : undefined;
    },
  };
}

/**
 * From each image of x [N, C, H, W] its own window of `size`; what lies outside the image is 0. A random crop with padding p is a crop
 * whose corners lie in -p .. H + p - size.
 */
export const crop = {
  forward: (x: Ref, corners: Corners, size: readonly [number, number]): Ref => moveForward(x, cropMove(x, corners, size)),
  backward: (x: Ref, corners: Corners, size: readonly [number, number], gradOutput: Ref): Ref =>
    moveBackward(x.shape, cropMove(x, corners, size), gradOutput),
};

function gatherMove(axis: number, index: Ref): Move {
  return { shape: index.shape, from: at => replaceAt(at, axis, index.data[indexOf(index.shape, at)]) };
}

/** PyTorch's gather: y[..., i, ...] = x[..., index[..., i, ...], ...] along one axis; y has the index's shape. */
export const gather = {
  forward: (x: Ref, axis: number, index: Ref): Ref => moveForward(x, gatherMove(axis, index)),
  backward: (x: Ref, axis: number, index: Ref, gradOutput: Ref): Ref =>
    moveBackward(x.shape, gatherMove(axis, index), gradOutput),
};

/** PyTorch's scatter_add: x, with values[i] added at index[i] along one axis, in row-major order. */
export const scatterAdd = {
  forward(x: Ref, axis: number, index: Ref, values: Ref): Ref {
    const added = moveBackward(x.shape, gatherMove(axis, index), values);
    return ref(
      x.shape,
      x.data.map((value, i) => value + added.data[i]),
    );
  },
  /** [dx, dvalues]. */
  backward(_x: Ref, axis: number, index: Ref, _values: Ref, gradOutput: Ref): [Ref, Ref] {
    return [gradOutput, gather.forward(gradOutput, axis, index)];
  },
};

/** PyTorch's scatter: x, with values[i] written at index[i] along one axis. No place may be written twice. */
export const scatter = {
  forward(x: Ref, axis: number, index: Ref, values: Ref): Ref {
    const out = ref(x.shape, x.data);
    for (const at of indices(index.shape)) {
      const position = indexOf(index.shape, at);
      out.data[indexOf(x.shape, replaceAt(at, axis, index.data[position]))] = values.data[position];
    }
    return out;
  },
  /** [dx, dvalues]: what was overwritten gets nothing. */
  backward(x: Ref, axis: number, index: Ref, values: Ref, gradOutput: Ref): [Ref, Ref] {
    const dx = scatter.forward(gradOutput, axis, index, ref(values.shape));
    return [ref(x.shape, dx.data), gather.forward(gradOutput, axis, index)];
  },
};

/** [N, classes] with a 1 at each label. No gradient. */
export const oneHot = {
  forward(labels: ArrayLike<number>, classes: number): Ref {
    const out = ref([labels.length, classes]);
    for (let n = 0; n < labels.length; n++) out.data[n * classes + labels[n]] = 1;
    return out;
  },
};

/** Arrays that differ along one axis only, joined there. */
export const concat = {
  forward(parts: readonly Ref[], axis: number): Ref {
    const joined = parts.reduce((sum, part) => sum + part.shape[axis], 0);
    const out = ref(replaceAt(parts[0].shape, axis, joined));
    let start = 0;
    for (const part of parts) {
      for (const at of indices(part.shape)) {
        out.data[indexOf(out.shape, replaceAt(at, axis, at[axis] + start))] = part.data[indexOf(part.shape, at)];
      }
      start += part.shape[axis];
    }
    return out;
  },
  /** One gradient a part. */
  backward(parts: readonly Ref[], axis: number, gradOutput: Ref): Ref[] {
    let start = 0;
    return parts.map(part => {
      const first = start;
      start += part.shape[axis];
      return slice.forward(
        gradOutput,
        gradOutput.shape.map((extent, a) => (a === axis ? [first, first + part.shape[axis], 1] : [0, extent, 1])),
      );
    });
  },
};
