/** `sparrow bench --suite limits`: what the adapter can do at most, measured with kernels that do one thing each. */
import type { Device } from '../../device/index.ts';
import { fillFloat } from '../../kernels/fill.ts';
import { LIMIT_GROUP, limitCopy, limitFma, limitRead, limitShared } from '../../kernels/limits.ts';
import { Random } from '../../tensor/philox.ts';
import { randomUniform } from '../../tensor/random.ts';
import { capture, empty, scope } from '../../tensor/tensor.ts';
import { type Timing, time } from './time.ts';

export interface LimitResult {
  /** What is measured. */
  readonly title: string;
  readonly unit: 'GFLOP/s' | 'GB/s' | 'us';
  /** In `unit`, at the median sample. */
  readonly value: number;
  readonly timing: Timing;
}

interface Limit {
  readonly title: string;
  readonly unit: LimitResult['unit'];
  /** Launches once. @returns operations or bytes of the launch; for `us` the dispatches */
  launch(): number;
}

/** Dispatches of a launch-cost sample: less than waits in one command buffer. */
const LAUNCHES = 256;

/**
 * Sizes of the work: enough to fill a large GPU, little enough for two CPU cores. And what lets it run at full speed: a processor wants few
 * chains, for it has few registers, and many multiply-adds a turn, for its loops cost.
 */
const scales = {
  gpu: {
    bytes: 2 ** 30,
    loads: 4,
    fma: { groups: 4096, loops: 2048, chains: 16, repeat: 1 },
    shared: { groups: 4096, loops: 1024 },
  },
  software: {
    bytes: 2 ** 26,
    loads: 1,
    fma: { groups: 64, loops: 64, chains: 3, repeat: 16 },
    shared: { groups: 64, loops: 128 },
  },
};
/** vec4s that an invocation of the reading kernel sums. */
const READS = 64;

/** Measures every ceiling. */
export async function benchLimits(
  device: Device,
  options: { readonly samples: number; onPart?(label: string, done: number, total: number): void },
): Promise<LimitResult[]> {
  const scale = device.adapter.kind === 'gpu' || device.adapter.kind === 'browser' ? scales.gpu : scales.software;
  const results: LimitResult[] = [];
  for (const [i, make] of families.entries()) {
    const { limits, dispose } = make(device, scale);
    try {
      for (const limit of limits) {
        options.onPart?.(limit.title, i, families.length);
        results.push(await measure(device, limit, options.samples));
      }
    } finally {
      dispose();
    }
  }
  return results;
}

async function measure(device: Device, { title, unit, launch }: Limit, samples: number): Promise<LimitResult> {
  let work = 0;
  const step = capture(device, () => {
    work = launch();
  });
  try {
    await step.capture.ready();
    const timing = await time(device, () => step.run(), samples);
    return { title, unit, value: unit === 'us' ? (1000 * timing.median) / work : work / timing.median / 1e6, timing };
  } finally {
    step.dispose();
  }
}

type Family = (device: Device, scale: typeof scales.gpu) => { limits: Limit[]; dispose(): void };

const registers: Family = (device, { fma }) => {
  const y = scope(device, () => empty(device, [fma.groups * LIMIT_GROUP]).keep());
  const limit = (title: string, fused: boolean): Limit => ({
    title,
    unit: 'GFLOP/s',
    launch: () => limitFma(device, y.storage, { ...fma, fused }),
  });
  return { limits: [limit('multiply-adds, a*b + c', false), limit('multiply-adds, fma()', true)], dispose: () => y.dispose() };
};

const storage: Family = (device, { bytes: wanted, loads }) => {
  const most = Math.min(wanted, device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
  const bytes = Math.floor(most / 2 ** 20) * 2 ** 20;
  const size = bytes / 16;
  const groups = Math.ceil(size / READS / LIMIT_GROUP);
  // random numbers: a driver may keep a buffer of equal values compressed
  const x = scope(device, () => randomUniform(device, [bytes / 4], new Random(1)).keep());
  const y = scope(device, () => empty(device, [bytes / 4]).keep());
  const mib = `${bytes / 2 ** 20} MiB`;
  return {
    limits: [
      { title: `storage, read ${mib}`, unit: 'GB/s', launch: () => limitRead(device, x.storage, size, y.storage, groups, loads) },
      { title: `storage, copy ${mib}`, unit: 'GB/s', launch: () => limitCopy(device, x.storage, y.storage, size) },
    ],
    dispose: () => {
      x.dispose();
      y.dispose();
    },
  };
};

const shared: Family = (device, { shared: { groups, loops } }) => {
  const y = scope(device, () => empty(device, [groups * LIMIT_GROUP]).keep());
  const launch = () => limitShared(device, y.storage, groups, loops);
  return { limits: [{ title: 'workgroup memory, read', unit: 'GB/s', launch }], dispose: () => y.dispose() };
};

/** Tiny dispatches, each waiting for the one before it (as layers do) or all free to overlap. */
const launches: Family = device => {
  const targets = Array.from({ length: LAUNCHES }, () => scope(device, () => empty(device, [1]).keep()));
  const limit = (title: string, target: (i: number) => number): Limit => ({
    title,
    unit: 'us',
    launch: () => {
      for (let i = 0; i < LAUNCHES; i++) fillFloat(device, targets[target(i)].storage, 1, i);
      return LAUNCHES;
    },
  });
  return {
    limits: [limit('a dispatch that waits for the last', () => 0), limit('a dispatch that waits for none', i => i)],
    dispose: () => {
      for (const t of targets) t.dispose();
    },
  };
};

const families: readonly Family[] = [registers, storage, shared, launches];
