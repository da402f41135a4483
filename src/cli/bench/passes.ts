/** Passes over the same inputs, timed: Sparrow's alone, or in turns with those of other libraries, once all came to the same numbers. */
import type { Device } from '../../device/index.ts';
import { capture, type Tensor, tensor } from '../../tensor/tensor.ts';
import { floats } from './case.ts';
import { differenceOf, type PeerResult, type PeerRounds, type Ratio, type Run, sampleOf, takeTurns } from './contest.ts';
import { type Compared, Entry, type Peers } from './entry.ts';
import type { Given, PeerTask } from './peer.ts';
import { elapsed, type Timing } from './time.ts';

/** What another library gives; `difference` is relative to the largest magnitude of a result. */
export interface PassPeer<P extends string, R> extends Compared {
  readonly rates: Readonly<Partial<Record<P, R>>>;
  /** How many times as long as Sparrow it takes. */
  readonly ratio: Readonly<Partial<Record<P, Ratio>>>;
}

export interface PassResult<P extends string, R> {
  readonly own: Readonly<Record<P, R>>;
  readonly peers?: readonly PeerResult<PassPeer<P, R>>[];
}

export interface PassWork<P extends string, R> {
  readonly task: PeerTask;
  /** By the name under which peers get it. Values are uniform in [-1, 1). */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** What peers get besides. */
  readonly more: object;
  /** Launches a pass on the tensors of `shapes`; what it returns first is compared. */
  launches(inputs: readonly Tensor[]): Readonly<Record<P, () => Tensor[]>>;
  /** The passes whose results are compared, and the largest difference allowed. */
  readonly compared: readonly P[];
  readonly tolerance: number;
  /** A pass's timing as the result says it. */
  rate(pass: P, timing: Timing): R;
}

export interface PassOptions {
  readonly samples: number;
  readonly peers?: Peers | undefined;
  onPart(part: string): void;
}

export async function benchPasses<P extends string, R>(
  device: Device,
  { task, shapes, more, launches, compared, tolerance, rate }: PassWork<P, R>,
  { samples, peers, onPart }: PassOptions,
): Promise<PassResult<P, R>> {
  const given: [string, Given][] = Object.entries(shapes).map(([name, shape], i) => [
    name,
    { shape, values: floats(shape, i + 1).values as Float32Array },
  ]);
  const inputs = given.map(([, { shape, values }]) => tensor(device, values, shape));
  const launch = launches(inputs);
  const names = Object.keys(launch) as P[];
  const steps = byPass(names, pass => capture(device, launch[pass]));
  const entry = await Entry.open(peers, task, { ...Object.fromEntries(given), ...more }, onPart);
  try {
    for (const pass of names) await steps[pass].capture.ready();
    if (entry.ready.length > 0) {
      const expected = new Map<P, Float32Array>();
      for (const pass of compared) expected.set(pass, sampleOf(await steps[pass].run()[0].data()));
      const difference = (results: Readonly<Record<string, unknown>>) =>
        Math.max(...compared.map(pass => differenceOf(results[pass] as Float32Array, expected.get(pass)!)));
      entry.compare(tolerance, difference);
    }
    onPart('timing');
    const run = byPass(
      names,
      (pass): Run =>
        n =>
          elapsed(device, () => steps[pass].run(), n),
    );
    const rounds = await takeTurns(run, entry.ready, { samples });
    const rates = <K extends P>(timing: Readonly<Partial<Record<K, Timing>>>) =>
      byPass(Object.keys(timing) as K[], pass => rate(pass, timing[pass]!));
    const ofPeer = ({ timing, ratio }: PeerRounds<P>) => ({ rates: rates(timing), ratio });
    return { own: rates(rounds.own), ...(peers ? { peers: entry.results(rounds.peers, ofPeer) } : {}) };
  } finally {
    entry.close();
    for (const pass of names) steps[pass].dispose();
    for (const t of inputs) t.dispose();
  }
}

const byPass = <P extends string, T>(passes: readonly P[], of: (pass: P) => T): Record<P, T> =>
  Object.fromEntries(passes.map(pass => [pass, of(pass)])) as Record<P, T>;

/** Where a library comes nearest to Sparrow. */
export interface SmallestRatio<P extends string = string> {
  readonly name: string;
  readonly pass: P;
  readonly ratio: number;
  /** Of the row. */
  readonly shape: string;
}

/** The smallest median ratio of each library and pass over all rows. */
export function smallestRatios<P extends string, R extends PassResult<P, unknown>>(
  rows: readonly R[],
  shapeOf: (row: R) => string,
): SmallestRatio<P>[] {
  const smallest = new Map<string, SmallestRatio<P>>();
  for (const row of rows) {
    for (const peer of row.peers ?? []) {
      if ('error' in peer) continue;
      for (const [pass, { median }] of Object.entries(peer.ratio) as [P, Ratio][]) {
        const key = `${peer.name} ${pass}`;
        if (median < (smallest.get(key)?.ratio ?? Infinity))
          smallest.set(key, { name: peer.name, pass, ratio: median, shape: shapeOf(row) });
      }
    }
  }
  return [...smallest.values()];
}
