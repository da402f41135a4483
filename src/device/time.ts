/** Timing of work on the device by the clock of the host, and what several samples say. */
import type { Device } from './device.ts';

/** Milliseconds of one run. */
export interface Timing {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Samples, and runs in each of them. */
  readonly samples: number;
  readonly runs: number;
}

/** Milliseconds until `runs` runs are done on the device. */
export async function elapsed(device: Device, run: () => void, runs: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < runs; i++) run();
  await device.sync();
  return performance.now() - start;
}

/** Median (the mean of the middle two of an even number), smallest and largest. */
export function spread(times: readonly number[]): Omit<Timing, 'runs'> {
  const sorted = [...times].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
  return { median, min: sorted[0], max: sorted.at(-1)!, samples: sorted.length };
}
