/** Which elements of a result are compared with Sparrow's: the same rule as `sampleOf` of src/cli/bench/contest.ts. */

/** At most 1000 elements, evenly spread. */
export function sampleOf(values) {
  const step = Math.max(1, Math.floor(values.length / 1000));
  return Float32Array.from({ length: Math.min(1000, values.length) }, (_, i) => values[i * step]);
}
