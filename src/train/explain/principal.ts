/** The eigen smoothing of class activation maps: what the weighted activations have in common, instead of their sum. */

/** The iteration ends when no entry moves by more, or after so many rounds. */
const TOLERANCE = 1e-9;
const ROUNDS = 10_000;

/**
 * The projection X v of P positions on their first principal component: X [P, C] is `weighted` with every channel's mean taken off, v its first right
 * singular vector (Muhammad and Yeasin 2020, "Eigen-CAM", section III, on the weighted activations). X v = s·u with the singular value s and u
 * the first eigenvector of X Xᵀ, found by the power method. That begins at the sum over channels, X 1, and so the sign, which a principal
 * component leaves open, is the one that agrees with the sum.
 * @param weighted [C, P] @returns [P]; zeros where no position differs from another
 */
export function principalMap(weighted: Float64Array, channels: number): Float64Array {
  const positions = weighted.length / channels;
  const x = weighted.slice();
  for (let c = 0; c < channels; c++) {
    const row = x.subarray(c * positions, (c + 1) * positions);
    const mean = row.reduce((sum, value) => sum + value, 0) / positions;
    for (let p = 0; p < positions; p++) row[p] -= mean;
  }
  let u = normalised(combine(x, new Float64Array(channels).fill(1), positions)).unit;
  let singular = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const { unit, length } = normalised(combine(x, project(x, u), positions));
    singular = Math.sqrt(length);
    const moved = unit.reduce((most, value, p) => Math.max(most, Math.abs(value - u[p])), 0);
    u = unit;
    if (moved <= TOLERANCE) break;
  }
  return u.map(value => value * singular);
}

/** Xᵀ u: [C]. */
function project(x: Float64Array, u: Float64Array): Float64Array {
  const positions = u.length;
  return Float64Array.from({ length: x.length / positions }, (_, c) => {
    let sum = 0;
    for (let p = 0; p < positions; p++) sum += x[c * positions + p] * u[p];
    return sum;
  });
}

/** X v: [P]. */
function combine(x: Float64Array, v: Float64Array, positions: number): Float64Array {
  const out = new Float64Array(positions);
  for (let c = 0; c < v.length; c++) for (let p = 0; p < positions; p++) out[p] += x[c * positions + p] * v[c];
  return out;
}

/** A vector of length 1, or of zeros, and the length before. */
function normalised(values: Float64Array): { unit: Float64Array; length: number } {
  const length = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return { unit: length > 0 ? values.map(value => value / length) : values, length };
}
