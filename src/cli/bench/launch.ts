/** `sparrow bench --suite launch`: what a replayed dispatch costs in JavaScript, and that a step after warm-up makes no buffers. */
import type { Device } from '../../device/index.ts';
import { spread, type Timing } from './time.ts';
import { Training } from './training.ts';

export interface LaunchResult {
  /** Microseconds of the calling thread for each dispatch of a replay: encoding, submitting, no waiting. */
  readonly host: Omit<Timing, 'runs'>;
  /** Microseconds until the step is done on the device, by dispatch. */
  readonly finished: Omit<Timing, 'runs'>;
  /** Of one PGD-10 step. */
  readonly dispatches: number;
  readonly submits: number;
  readonly buffersMade: number;
}

/** A network whose kernels are over almost at once. */
const network = { arch: 'resnet8', width: 4, batchSize: 2, attackSteps: 10 };
const WARM_UP = 3;

/** Replays an adversarial training step of a tiny network `samples` times. */
export async function benchLaunch(
  device: Device,
  options: { readonly samples: number; onStep?(label: string, done: number, total: number): void },
): Promise<LaunchResult> {
  const { samples } = options;
  const training = new Training(device, network);
  try {
    for (let i = 0; i < WARM_UP; i++) await training.step();
    const before = device.stats;
    const host: number[] = [];
    const finished: number[] = [];
    for (let i = 0; i < samples; i++) {
      options.onStep?.('training step', i, samples);
      const start = performance.now();
      await training.submit();
      host.push(performance.now() - start);
      await device.sync();
      finished.push(performance.now() - start);
    }
    const after = device.stats;
    const dispatches = (after.dispatches - before.dispatches) / samples;
    const perDispatch = (times: number[]) => spread(times.map(ms => (1000 * ms) / dispatches));
    return {
      host: perDispatch(host),
      finished: perDispatch(finished),
      dispatches,
      submits: (after.submits - before.submits) / samples,
      buffersMade: (after.buffersMade - before.buffersMade) / samples,
    };
  } finally {
    training.dispose();
  }
}
