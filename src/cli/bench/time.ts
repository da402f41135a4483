/** Timing of captured work: warm-up, then samples that are each long enough for a clock, then median, smallest and largest. */
import type { Device } from '../../device/index.ts';

/** Milliseconds of one run. */
export interface Timing {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Samples, and runs in each of them. */
  readonly samples: number;
  readonly runs: number;
}

/** Milliseconds that a sample should last at least, so that waiting for the device does not count. */
const SAMPLE = 50;
const MOST_RUNS = 1000;

/** Milliseconds until `runs` runs are done on the device. */
export async function elapsed(device: Device, run: () => void, runs: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < runs; i++) run();
  await device.sync();
  return performance.now() - start;
}

/** Runs to a sample: as many as last `SAMPLE` milliseconds, from one timed run after one that warms up. @param run takes the milliseconds of n */
export async function runsThatLast(run: (n: number) => Promise<number>): Promise<number> {
  await run(1);
  return Math.max(1, Math.min(MOST_RUNS, Math.ceil(SAMPLE / (await run(1)))));
}

/** Times work that is ready to be launched again and again. */
export async function time(device: Device, run: () => void, samples: number): Promise<Timing> {
  const runs = await runsThatLast(n => elapsed(device, run, n));
  const times: number[] = [];
  for (let i = 0; i < samples; i++) times.push((await elapsed(device, run, runs)) / runs);
  return { ...spread(times), runs };
}

/** Median (the mean of the middle two of an even number), smallest and largest. */
export function spread(times: readonly number[]): Omit<Timing, 'runs'> {
  const sorted = [...times].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
  return { median, min: sorted[0], max: sorted.at(-1)!, samples: sorted.length };
}
