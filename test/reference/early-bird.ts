/**
 * Early-bird tickets by sorting and counting in plain numbers (You et al. 2020, algorithm 1), and the choice of channels by their mean |gamma|
 * (Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming", with the mean over the norms of one residual stream).
 */

/** Whether each score is among the n - int((1 - p)·n) largest magnitudes; among equal ones the first are. */
export function ticket(scores: readonly number[], density: number): boolean[] {
  const kept = scores.length - Math.floor((1 - density) * scores.length);
  const order = scores.map((_, i) => i).sort((a, b) => Math.abs(scores[b]) - Math.abs(scores[a]) || a - b);
  const chosen = new Set(order.slice(0, kept));
  return scores.map((_, i) => chosen.has(i));
}

/** The part of the positions at which two masks differ. */
export function hamming(a: readonly boolean[], b: readonly boolean[]): number {
  return a.filter((bit, i) => bit !== b[i]).length / a.length;
}

/** The first epoch whose mask is within the threshold of the four before it; undefined where there is none. */
export function emergence(masks: readonly boolean[][], threshold: number): number | undefined {
  for (let e = 4; e < masks.length; e++)
    if ([1, 2, 3, 4].every(back => hamming(masks[e], masks[e - back]) <= threshold)) return e;
  return undefined;
}

/** Channels kept of each group, given the gammas of the norms of each. */
export function channels(gammas: readonly (readonly number[][])[], density: number): number[][] {
  const means = gammas.map(norms => norms[0].map((_, c) => norms.reduce((s, norm) => s + Math.abs(norm[c]), 0) / norms.length));
  const chosen = ticket(means.flat(), density);
  let at = 0;
  return means.map(group => {
    const kept = group.flatMap((_, c) => (chosen[at + c] ? [c] : []));
    at += group.length;
    if (kept.length > 0) return kept;
    return [group.reduce((best, mean, c) => (mean > group[best] ? c : best), 0)];
  });
}
