/** Taking turns: Sparrow and other libraries run the same passes one after the other, round by round, so that what disturbs the machine disturbs all. */
import type { PeerWork } from './peer.ts';
import { runsThatLast, spread, type Timing } from './time.ts';

/** Runs a pass `runs` times; milliseconds until the last is done on the device. */
export type Run = (runs: number) => Promise<number>;

/** A library with what came of its work; one that cannot do it has the reason instead. */
export type PeerResult<T> = { readonly name: string; readonly version: string } & (T | { readonly error: string });

/** How many times as long as Sparrow another library took: of the rounds the median, the smallest and the largest. */
export interface Ratio {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** What the rounds gave: by pass, and of a library those passes that it has. */
export interface Rounds<P extends string> {
  readonly own: Readonly<Record<P, Timing>>;
  readonly peers: readonly PeerResult<PeerRounds<P>>[];
}

export interface PeerRounds<P extends string> {
  readonly timing: Readonly<Partial<Record<P, Timing>>>;
  readonly ratio: Readonly<Partial<Record<P, Ratio>>>;
}

/** One that takes turns, and the milliseconds of a run in each of its rounds. */
interface Contestant<P extends string> {
  readonly peer?: PeerWork;
  readonly pass: P;
  readonly run: Run;
  readonly runs: number;
  readonly times: number[];
}

/**
 * Each pass of Sparrow and of the peers that have it, `samples` times in turns. A peer that fails on the way is out, and the others go on.
 * @param runs of a sample; without it as many as last long enough for a clock, found out for each contestant by two runs
 */
export async function takeTurns<P extends string>(
  own: Readonly<Record<P, Run>>,
  peers: readonly PeerWork[],
  { samples, runs }: { readonly samples: number; readonly runs?: number },
): Promise<Rounds<P>> {
  const failed = new Map<PeerWork, string>();
  /** A peer's time, or the end of its taking part. */
  const attempt = async (peer: PeerWork | undefined, run: () => Promise<number>): Promise<number | undefined> => {
    if (!peer) return run();
    if (failed.has(peer)) return undefined;
    try {
      return await run();
    } catch (error) {
      failed.set(peer, (error as Error).message);
      return undefined;
    }
  };

  const contestants: Contestant<P>[] = [];
  for (const pass of Object.keys(own) as P[]) {
    for (const peer of [undefined, ...peers.filter(p => p.passes.includes(pass))]) {
      const run: Run = peer ? n => peer.run(pass, n) : own[pass];
      const found = await attempt(peer, async () => runs ?? runsThatLast(run));
      if (found !== undefined) contestants.push({ ...(peer ? { peer } : {}), pass, run, runs: found, times: [] });
    }
  }
  for (let round = 0; round < samples; round++) {
    for (const c of contestants) {
      const time = await attempt(c.peer, () => c.run(c.runs));
      if (time !== undefined) c.times.push(time / c.runs);
    }
  }

  const of = (peer: PeerWork | undefined) => contestants.filter(c => c.peer === peer);
  const timing = (c: Contestant<P>): Timing => ({ ...spread(c.times), runs: c.runs });
  const byPass = <T>(all: Contestant<P>[], value: (c: Contestant<P>) => T) =>
    Object.fromEntries(all.map(c => [c.pass, value(c)])) as Record<P, T>;
  const ownTimes = byPass(of(undefined), c => c.times);
  const ratio = ({ pass, times }: Contestant<P>): Ratio => {
    const { median, min, max } = spread(times.map((time, round) => time / ownTimes[pass][round]));
    return { median, min, max };
  };
  return {
    own: byPass(of(undefined), timing),
    peers: peers.map(peer => {
      const { name, version } = peer;
      const error = failed.get(peer);
      return error === undefined
        ? { name, version, timing: byPass(of(peer), timing), ratio: byPass(of(peer), ratio) }
        : { name, version, error };
    }),
  };
}

/** At most 1000 elements of a result, evenly spread: what is compared between libraries (bench/peers/sample.js has the same rule). */
export function sampleOf(values: ArrayLike<number>): Float32Array {
  const step = Math.max(1, Math.floor(values.length / 1000));
  return Float32Array.from({ length: Math.min(1000, values.length) }, (_, i) => values[i * step]);
}

/** The largest difference between two samples, relative to the largest magnitude of the second; Infinity where they cannot be compared. */
export function differenceOf(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let [difference, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(actual[i] - expected[i]);
    difference = Math.max(difference, Number.isNaN(d) ? Infinity : d);
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return difference && difference / (largest || 1);
}
