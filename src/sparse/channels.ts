/**
 * Which channels a network keeps at a density p. The channels of all groups (`nn/channels.ts`) are ranked together by their score
 *
 *   s(channel) = the mean of |gamma| over the batch norms that normalise it
 *
 * and the n - int((1 - p)·n) largest of all n are kept. Channels inside a block have one norm, those of a residual stream as many
 * as blocks read the stream: the mean makes a stream's channels comparable with the others, and the stream is narrowed where its
 * blocks agree that it can be. A group that would lose all its channels keeps its best one, since without it the network would be
 * cut in two.
 */
import { UsageError } from '../errors.ts';
import type { ChannelGroup } from '../nn/channels.ts';
import { nearestDensity } from './densities/index.ts';
import { globalCount } from './saliency/scores.ts';

/** The score of each channel of each group. Reads back. */
export async function channelScores(groups: readonly ChannelGroup[]): Promise<number[][]> {
  return Promise.all(
    groups.map(async ({ norms }) => {
      const gammas = await Promise.all(norms.map(norm => norm.weight.floats()));
      return Array.from(gammas[0], (_, c) => gammas.reduce((sum, g) => sum + Math.abs(g[c]), 0) / gammas.length);
    }),
  );
}

export interface KeptChannels {
  /** Indices by group, rising. */
  readonly kept: readonly (readonly number[])[];
  /** Groups of which no channel was among the largest. */
  readonly rescued: readonly number[];
}

/** The channels to keep of each group. Ties: the earlier group, then the lower index. */
export function chooseChannels(scores: readonly (readonly number[])[], density: number): KeptChannels {
  const all = scores.flatMap((of, group) => of.map((score, channel) => ({ score, group, channel })));
  const largest = all.sort((a, b) => b.score - a.score).slice(0, globalCount(all.length, density));
  const kept = scores.map((_, group) => largest.flatMap(c => (c.group === group ? [c.channel] : [])).sort((a, b) => a - b));
  const rescued = kept.flatMap((channels, group) => (channels.length === 0 ? [group] : []));
  for (const group of rescued) kept[group].push(scores[group].indexOf(Math.max(...scores[group])));
  return { kept, rescued };
}

/** Checks that a density leaves a channel for every group. @throws UsageError naming the nearest that does */
export function assertChannelsReachable(widths: readonly number[], density: number): void {
  const total = widths.reduce((a, b) => a + b, 0);
  const keep = globalCount(total, density);
  if (keep >= widths.length) return;
  const nearest = nearestDensity((widths.length - 1) / total, p => globalCount(total, p) >= widths.length);
  throw new UsageError(
    `--density ${density} would keep ${keep} of ${total} channels in ${widths.length} layers: the nearest that channel pruning reaches is ${nearest}`,
  );
}
