/** `sparrow bench --suite conv`: the three passes of a network's convolutions, alone or in turns with another library. */
import type { Device } from '../../device/index.ts';
import { conv2d, conv2dInputGrad, conv2dWeightGrad } from '../../tensor/conv.ts';
import { capture, type Step, type Tensor, tensor } from '../../tensor/tensor.ts';
import { floats } from './case.ts';
import { type ConvSizes, convShapes, type ShapeSet, shapeName } from './conv-shapes.ts';
import type { Peer } from './peer.ts';
import { elapsed, runsPerSample, spread, type Timing } from './time.ts';

const passes = ['forward', 'inputGradient', 'weightGradient', 'all'] as const;
type Pass = (typeof passes)[number];

export interface Rate {
  /** GFLOP/s at the median. */
  readonly gflops: number;
  readonly timing: Timing;
}

export interface ConvResult {
  /** `64ch 32²`. */
  readonly shape: string;
  readonly sizes: ConvSizes;
  /** Each pass, and `all`: the three together. */
  readonly own: Readonly<Record<Pass, Rate>>;
  /** The other library, and how many times as fast as it this one is (medians of turns taken). */
  readonly peer?: {
    readonly forward: Rate;
    readonly all: Rate;
    readonly ratio: { readonly forward: number; readonly all: number };
  };
}

export interface ConvSuiteOptions {
  readonly shapes: ShapeSet;
  readonly batchSize: number;
  readonly samples: number;
  readonly peer?: Peer | undefined;
  onShape?(shape: string, done: number, total: number): void;
}

/** Work that is sampled: `run` takes the milliseconds of `runs` runs. */
interface Sampled {
  readonly flops: number;
  readonly runs: number;
  run(runs: number): Promise<number>;
}

export async function benchConv(device: Device, options: ConvSuiteOptions): Promise<ConvResult[]> {
  const results: ConvResult[] = [];
  const all = convShapes(options.shapes, options.batchSize);
  for (const sizes of all) {
    const shape = shapeName(sizes);
    options.onShape?.(shape, results.length, all.length);
    results.push({ shape, sizes, ...(await benchShape(device, sizes, options)) });
  }
  return results;
}

async function benchShape(
  device: Device,
  z: ConvSizes,
  { samples, peer }: ConvSuiteOptions,
): Promise<Pick<ConvResult, 'own' | 'peer'>> {
  const rows = Math.ceil(z.size / z.stride);
  const image = [z.n, z.ci, z.size, z.size];
  const weights = [z.co, z.ci, z.kernel, z.kernel];
  const inputs = [image, weights, [z.n, z.co, rows, rows]].map((shape, i) => tensor(device, floats(shape, i + 1).values, shape));
  const [x, w, g] = inputs;
  const o = { padding: Math.floor(z.kernel / 2), stride: z.stride };
  const forward = () => conv2d(x, w, o);
  const inputGradient = () => conv2dInputGrad(g, w, image, o);
  const weightGradient = () => conv2dWeightGrad(x, g, weights, o);
  const work: Record<Pass, () => Tensor[]> = {
    forward: () => [forward()],
    inputGradient: () => [inputGradient()],
    weightGradient: () => [weightGradient()],
    all: () => [forward(), inputGradient(), weightGradient()],
  };
  const flops = 2 * z.n * z.co * z.ci * z.kernel ** 2 * rows ** 2;
  const steps: Step<Tensor[]>[] = [];
  const other = await peer?.conv(z);
  try {
    const contenders = new Map<string, Sampled>();
    for (const pass of passes) {
      const step = capture(device, work[pass]);
      steps.push(step);
      await step.capture.ready();
      const runs = await runsPerSample(device, () => step.run());
      contenders.set(pass, { flops: pass === 'all' ? 3 * flops : flops, runs, run: n => elapsed(device, () => step.run(), n) });
      const peerRun = pass === 'forward' ? other?.forward : pass === 'all' ? other?.all : undefined;
      if (peerRun) contenders.set(`peer ${pass}`, await peerContender(peerRun, contenders.get(pass)!));
    }
    const rates = await takeTurns(contenders, samples);
    const own = Object.fromEntries(passes.map(pass => [pass, rates.get(pass)!])) as Record<Pass, Rate>;
    if (!other) return { own };
    const [peerForward, peerAll] = [rates.get('peer forward')!, rates.get('peer all')!];
    const ratio = { forward: own.forward.gflops / peerForward.gflops, all: own.all.gflops / peerAll.gflops };
    return { own, peer: { forward: peerForward, all: peerAll, ratio } };
  } finally {
    other?.dispose();
    for (const step of steps) step.dispose();
    for (const t of inputs) t.dispose();
  }
}

/** Warms the other library up, and gives it as many runs to a sample as this one. */
async function peerContender(run: (runs: number) => Promise<void>, own: Sampled): Promise<Sampled> {
  await run(2);
  return {
    flops: own.flops,
    runs: own.runs,
    run: async runs => {
      const start = performance.now();
      await run(runs);
      return performance.now() - start;
    },
  };
}

/** One sample of each in every round, so that what disturbs the machine disturbs all of them. */
async function takeTurns(contenders: ReadonlyMap<string, Sampled>, samples: number): Promise<Map<string, Rate>> {
  const times = new Map<string, number[]>([...contenders.keys()].map(name => [name, []]));
  for (let i = 0; i < samples; i++) for (const [name, c] of contenders) times.get(name)!.push((await c.run(c.runs)) / c.runs);
  return new Map(
    [...contenders].map(([name, c]) => {
      const timing = { ...spread(times.get(name)!), runs: c.runs };
      return [name, { gflops: c.flops / timing.median / 1e6, timing }];
    }),
  );
}
