/** Timing of captured work: warm-up, then samples that are each long enough for a clock, then median, smallest and largest. */
import type { Device } from '../../device/index.ts';
import { elapsed, spread, type Timing } from '../../device/time.ts';

export { elapsed, spread, type Timing };

/** Milliseconds that a sample should last at least, so that waiting for the device does not count. */
const SAMPLE = 50;
const MOST_RUNS = 1000;

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
