/**
 * Batch normalisation fused with ReLU, train and eval mode, forward and backward, by one of two plans: `channels` (norm_channel) does a pass in one
 * launch, `slices` (norm_sums, and norm_apply, which joins the slices' sums) cuts the channels up, so that a few of them fill a GPU.
 */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';
import { inSlices } from './reduce.ts';

/** x [N, C, HW]. */
export interface NormShape {
  n: number;
  c: number;
  hw: number;
}

export type NormPlan = 'channels' | 'slices';

/** Processors have few cores and dear launches. */
const planFor = (device: Device): NormPlan => (device.adapter.processor ? 'channels' : 'slices');

/** Elements of a channel up to which one invocation walks it alone. */
const ALONE = 1024;
/** Invocations of a workgroup of them: fewer workgroups cost less, and there must be some for every core. */
const ALONE_GROUP = 32;

/** Which work of norm_channel or norm_apply. */
interface Pass {
  FORWARD: boolean;
  TRAIN: boolean;
  RELU: boolean;
  /** Forward moves the running statistics. */
  UPDATE?: boolean;
  /** Backward adds another gradient by x. */
  ADD?: boolean;
}

/** Added to the variance, and how far running statistics move. */
interface Numbers {
  eps: number;
  momentum: number;
}
const none: Numbers = { eps: 0, momentum: 0 };

/** Launches norm_channel. */
function byChannel(
  device: Device,
  bindings: string,
  pass: Pass & { APPLY?: boolean },
  buffers: readonly Storage[],
  s: NormShape,
  { eps, momentum } = none,
): void {
  const { subgroupSize } = device.adapter;
  const vec = s.hw % 4 === 0;
  const length = vec ? s.hw / 4 : s.hw;
  const alone = subgroupSize === 0 || s.n * s.hw <= ALONE;
  const [group, lanes] = alone ? [ALONE_GROUP, 1] : [subgroupSize, subgroupSize];
  const span = Math.min(lanes, 2 ** Math.ceil(Math.log2(length)));
  const variant = { APPLY: true, UPDATE: false, ADD: false, ...pass, VEC: vec, GROUP: group, LANES: lanes, SPAN: span };
  const params = uniform()
    .uint(s.n, s.c, length, s.n * s.hw)
    .float(eps, momentum);
  device.dispatch(program('norm_channel', bindings, variant), buffers, params, gridFor(s.c * lanes, group));
}

/**
 * How the plan `slices` shares a pass out: slices of the images (enough workgroups to fill a device, few enough to add up quickly), invocations
 * of a workgroup (where a processor plays the adapter one SIMD group, for there a barrier costs more than it shares), and how many of them lie
 * side by side in an image.
 */
function sharing(device: Device, s: NormShape) {
  const { processor, subgroupSize } = device.adapter;
  const vec = s.hw % 4 === 0;
  const length = vec ? s.hw / 4 : s.hw;
  const group = processor ? subgroupSize || 8 : 256;
  const span = Math.min(group, 2 ** Math.ceil(Math.log2(length)));
  const workgroups = processor ? 512 : 1056;
  const wanted = Math.max(
    1,
    Math.min(s.n, Math.ceil(workgroups / s.c), Math.ceil((s.n * s.hw) / (processor ? 1024 : 4 * group))),
  );
  const rows = Math.ceil(s.n / wanted);
  const slices = Math.ceil(s.n / rows);
  return { slices, rows, length, variant: { VEC: vec, GROUP: group, SPAN: span }, grid: gridFor(s.c * slices, 1) };
}

/** Launches norm_sums: part [SLICES, 2, C] from x, or from x, g and stats. */
function sums(device: Device, inputs: readonly Storage[], part: Storage, s: NormShape, relu = false): void {
  const { slices, rows, length, variant, grid } = sharing(device, s);
  const gradients = inputs.length > 1;
  device.dispatch(
    program('norm_sums', gradients ? 'rrrw' : 'rw', { GRADIENTS: gradients, RELU: relu, ...variant }),
    [...inputs, part],
    uniform().uint(s.n, s.c, length, slices, rows),
    grid,
  );
}

/** Launches norm_apply. */
function apply(
  device: Device,
  bindings: string,
  pass: Pass,
  buffers: readonly Storage[],
  s: NormShape,
  { eps, momentum } = none,
): void {
  const { slices, rows, length, variant, grid } = sharing(device, s);
  const params = uniform()
    .uint(s.n, s.c, length, slices, rows, s.n * s.hw)
    .float(eps, momentum);
  device.dispatch(program('norm_apply', bindings, { UPDATE: false, ADD: false, ...pass, ...variant }), buffers, params, grid);
}

/** Hands `use` the slices' sums of x, or of x, g and stats. */
function withSums(device: Device, inputs: readonly Storage[], s: NormShape, relu: boolean, use: (part: Storage) => void): void {
  const part = device.allocate(sharing(device, s).slices * 2 * s.c * 4);
  sums(device, inputs, part, s, relu);
  use(part);
  device.discard(part);
}

/** Running statistics, and how far they move towards those of a batch. */
export interface RunningStorage {
  mean: Storage;
  var: Storage;
  momentum: number;
}

/** stats [4, C] = mean, invstd, scale, shift of the batch and y = [relu](x·scale + shift); updates the running statistics where they are given. */
export function normTrain(
  device: Device,
  x: Storage,
  gamma: Storage,
  beta: Storage,
  stats: Storage,
  y: Storage,
  s: NormShape,
  options: { eps: number; relu: boolean; running?: RunningStorage | undefined },
  plan = planFor(device),
): void {
  const { eps, relu, running } = options;
  const pass = { FORWARD: true, TRAIN: true, RELU: relu, UPDATE: running !== undefined };
  const moved = running ? [running.mean, running.var] : [];
  const numbers = { eps, momentum: running?.momentum ?? 0 };
  if (plan === 'channels') {
    byChannel(device, running ? 'rwrrwww' : 'rwrrw', pass, [x, stats, gamma, beta, y, ...moved], s, numbers);
    return;
  }
  withSums(device, [x], s, false, part =>
    apply(device, running ? 'rwwrrrww' : 'rwwrrr', pass, [x, stats, y, part, gamma, beta, ...moved], s, numbers),
  );
}

/** stats [4, C] from the running statistics (eval mode). */
export function runningStats(
  device: Device,
  gamma: Storage,
  beta: Storage,
  mean: Storage,
  variance: Storage,
  stats: Storage,
  c: number,
  eps: number,
): void {
  device.dispatch(
    program('norm_stats', 'rrrrw'),
    [gamma, beta, mean, variance, stats],
    uniform().uint(c).float(eps),
    gridFor(c, 64),
  );
}

/** y = [relu](x·scale + shift). */
export function normForward(
  device: Device,
  x: Storage,
  stats: Storage,
  y: Storage,
  s: NormShape,
  relu: boolean,
  plan = planFor(device),
): void {
  const launch = plan === 'channels' ? byChannel : apply;
  launch(device, 'rrw', { FORWARD: true, TRAIN: false, RELU: relu }, [x, stats, y], s);
}

/** sums [2, C] = the gradients by beta and by gamma. */
export function normSums(
  device: Device,
  x: Storage,
  g: Storage,
  stats: Storage,
  total: Storage,
  s: NormShape,
  relu: boolean,
  plan = planFor(device),
): void {
  if (plan === 'channels')
    byChannel(device, 'rrrw', { FORWARD: false, TRAIN: true, RELU: relu, APPLY: false }, [x, stats, g, total], s);
  else inSlices(device, total, sharing(device, s).slices, 2 * s.c, part => sums(device, [x, g, stats], part, s, relu));
}

/** What a backward pass is told beside its inputs. */
export interface BackwardOptions {
  /** Whether ReLU followed. */
  relu: boolean;
  /** Another gradient by x, added to gx. */
  before?: Storage | undefined;
}

/** In train mode, where the statistics depend on x: total [2, C] = the gradients by beta and by gamma, and gx from g. */
export function normTrainBackward(
  device: Device,
  x: Storage,
  g: Storage,
  stats: Storage,
  total: Storage,
  gx: Storage,
  s: NormShape,
  { relu, before }: BackwardOptions,
  plan = planFor(device),
): void {
  const pass = { FORWARD: false, TRAIN: true, RELU: relu, ADD: before !== undefined };
  const added = before ? [before] : [];
  if (plan === 'channels') {
    byChannel(device, before ? 'rrrwwr' : 'rrrww', pass, [x, stats, g, total, gx, ...added], s);
    return;
  }
  withSums(device, [x, g, stats], s, relu, part =>
    apply(device, before ? 'rrwrrwr' : 'rrwrrw', pass, [x, stats, gx, g, part, total, ...added], s),
  );
}

/** In eval mode gx from g. */
export function normBackward(
  device: Device,
  x: Storage,
  g: Storage,
  stats: Storage,
  gx: Storage,
  s: NormShape,
  { relu, before }: BackwardOptions,
  plan = planFor(device),
): void {
  const pass = { FORWARD: false, TRAIN: false, RELU: relu, ADD: before !== undefined };
  const added = before ? [before] : [];
  if (plan === 'channels') byChannel(device, before ? 'rrrwr' : 'rrrw', pass, [x, stats, g, gx, ...added], s);
  else apply(device, before ? 'rrwrr' : 'rrwr', pass, [x, stats, gx, g, ...added], s);
}
