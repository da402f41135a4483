/** Exact selection: order, top-k, k-th value and masks. Among equal values the one at the lowest index comes first, always. */
import { type Ref, ref } from './array.ts';

/** Positions from the largest value to the smallest; equal values in order of position. */
export function rankDescending(values: ArrayLike<number>): number[] {
  return Array.from(values, (_, i) => i).sort((i, j) => values[j] - values[i] || i - j);
}

/** Positions from the smallest value to the largest; equal values in order of position. */
export function rankAscending(values: ArrayLike<number>): number[] {
  return Array.from(values, (_, i) => i).sort((i, j) => values[i] - values[j] || i - j);
}

/** The k-th largest value (k counts from 1) and its position. */
export function kthLargest(values: ArrayLike<number>, k: number): { value: number; index: number } {
  const index = rankDescending(values)[k - 1];
  return { value: values[index], index };
}

/** The k-th smallest value (k counts from 1) and its position. */
export function kthSmallest(values: ArrayLike<number>, k: number): { value: number; index: number } {
  const index = rankAscending(values)[k - 1];
  return { value: values[index], index };
}

/** The k largest along the last axis in descending order: values and indices, each [..., k]. */
export const topK = {
  forward(x: Ref, k: number): { values: Ref; indices: Ref } {
    const width = x.shape[x.shape.length - 1];
    const shape = [...x.shape.slice(0, -1), k];
    const indices = ref(shape);
    const values = ref(shape);
    for (let row = 0; row < x.data.length / width; row++) {
      const line = x.data.subarray(row * width, (row + 1) * width);
      const best = rankDescending(line).slice(0, k);
      best.forEach((column, i) => {
        indices.data[row * k + i] = column;
        values.data[row * k + i] = line[column];
      });
    }
    return { values, indices };
  },
  /** The gradient of the values, back at the places they came from. */
  backward(x: Ref, k: number, gradValues: Ref): Ref {
    const width = x.shape[x.shape.length - 1];
    const dx = ref(x.shape);
    topK.forward(x, k).indices.data.forEach((column, i) => {
      dx.data[Math.floor(i / k) * width + column] = gradValues.data[i];
    });
    return dx;
  },
};

/** 1 at the k largest values, 0 elsewhere: exactly k ones whatever the ties. */
export function topKMask(scores: Ref, k: number): Ref {
  const mask = ref(scores.shape);
  for (const i of rankDescending(scores.data).slice(0, k)) mask.data[i] = 1;
  return mask;
}

/** 1 where a value is above the threshold, 0 elsewhere. */
export function thresholdMask(scores: Ref, threshold: number): Ref {
  return ref(
    scores.shape,
    scores.data.map(value => (value > threshold ? 1 : 0)),
  );
}
