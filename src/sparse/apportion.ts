/** Sharing out whole numbers in proportion. */

/**
 * Whole numbers in proportion to `shares` (>= 0), none above its cap, with exactly the sum `total` (or that of the caps, where it is less). What would pass
 * its cap gets the cap and the rest is shared anew; then everyone gets the whole part of its quota and the largest remainders one more, ties to the first.
 * Where all shares that are left are 0 they count as equal.
 */
export function apportion(total: number, shares: readonly number[], caps: readonly number[]): number[] {
  const given = caps.map(() => 0);
  const open = new Set(caps.keys());
  let left = Math.min(
    total,
    caps.reduce((a, b) => a + b, 0),
  );
  for (;;) {
    const sum = [...open].reduce((s, i) => s + shares[i], 0);
    const quota = (i: number) => (sum > 0 ? (left * shares[i]) / sum : left / open.size);
    const full = [...open].filter(i => quota(i) >= caps[i]);
    if (full.length > 0) {
      for (const i of full) {
        given[i] = caps[i];
        open.delete(i);
      }
      left -= full.reduce((s, i) => s + caps[i], 0);
      continue;
    }
    const quotas = new Map([...open].map(i => [i, quota(i)]));
    for (const [i, q] of quotas) given[i] = Math.floor(q);
    const rest = left - [...open].reduce((s, i) => s + given[i], 0);
    const byRemainder = [...quotas].sort(([i, a], [j, b]) => (b % 1) - (a % 1) || i - j);
    for (const [i] of byRemainder.slice(0, rest)) given[i]++;
    return given;
  }
}
