/** `--profile`: the time of a run on the device, by kernel. */
import type { Device } from '../device/index.ts';
import type { RunHooks } from './api.ts';

/** Runs `work` with every kernel timed, and reports the times; where the adapter has no timestamps it says so and times nothing. */
export async function profiled<T>(device: Device, hooks: RunHooks, work: () => Promise<T>): Promise<T> {
  const { profiler, adapter } = device;
  if (!profiler.available) {
    hooks.onNotice?.(`--profile: ${adapter.description || adapter.kind} has no timestamps; the run goes on without a profile`);
    return work();
  }
  profiler.start();
  try {
    const result = await work();
    await device.sync();
    hooks.onProfile?.(profiler.report());
    return result;
  } finally {
    profiler.stop();
  }
}
