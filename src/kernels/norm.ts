/**
 * Batch normalisation fused with ReLU, train and eval mode, forward and backward, by one of two plans: `channels` (norm_channel) does a pass in one
 * launch, `slices` (norm_sums, norm_stats, norm_apply) cuts the channels up, so that a few of them fill a GPU.
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
}

/** Launches norm_channel. */
function byChannel(
  device: Device,
  bindings: string,
  pass: Pass & { APPLY?: boolean; UPDATE?: boolean },
  buffers: readonly Storage[],
  s: NormShape,
  eps = 0,
  momentum = 0,
): void {
  const { subgroupSize } = device.adapter;
  const vec = s.hw % 4 === 0;
  const length = vec ? s.hw / 4 : s.hw;
  const alone = subgroupSize === 0 || s.n * s.hw <= ALONE;
  const [group, lanes] = alone ? [ALONE_GROUP, 1] : [subgroupSize, subgroupSize];
  const span = Math.min(lanes, 2 ** Math.ceil(Math.log2(length)));
  const variant = { APPLY: true, UPDATE: false, ...pass, VEC: vec, GROUP: group, LANES: lanes, SPAN: span };
  const params = uniform()
    .uint(s.n, s.c, length, s.n * s.hw)
    .float(eps, momentum);
  device.dispatch(program('norm_channel', bindings, variant), buffers, params, gridFor(s.c * lanes, group));
}

/**
 * How the sums are shared out: slices of the images (enough workgroups to fill a device, few enough to add up quickly), invocations of a
 * workgroup (where a processor plays the adapter one SIMD group, for there a barrier costs more than it shares), and how many of them lie
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
  return { slices, variant: { VEC: vec, GROUP: group, SPAN: span }, params: uniform().uint(s.n, s.c, length, slices, rows) };
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
  if (plan === 'slices') {
    batchStats(device, x, gamma, beta, stats, s, eps, running);
    normForward(device, x, stats, y, s, relu, plan);
    return;
  }
  const moved = running ? [running.mean, running.var] : [];
  const pass = { FORWARD: true, TRAIN: true, RELU: relu, UPDATE: running !== undefined };
  const buffers = [x, stats, gamma, beta, y, ...moved];
  byChannel(device, running ? 'rwrrwww' : 'rwrrw', pass, buffers, s, eps, running?.momentum);
}

/** stats [4, C] of the batch. */
function batchStats(
  device: Device,
  x: Storage,
  gamma: Storage,
  beta: Storage,
  stats: Storage,
  s: NormShape,
  eps: number,
  running: RunningStorage | undefined,
): void {
  const { slices, variant, params } = sharing(device, s);
  const part = device.allocate(slices * 2 * s.c * 4);
  device.dispatch(program('norm_sums', 'rw', { GRADIENTS: 0, RELU: 0, ...variant }), [x, part], params, gridFor(s.c * slices, 1));
  device.dispatch(
    program('norm_stats', running ? 'rrrrwww' : 'rrrrw', { EVAL: 0, UPDATE: running ? 1 : 0 }),
    [gamma, beta, x, part, stats, ...(running ? [running.mean, running.var] : [])],
    uniform()
      .uint(s.c, s.hw, s.n * s.hw, slices)
      .float(eps, running?.momentum ?? 0),
    gridFor(s.c, 64),
  );
  device.discard(part);
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
    program('norm_stats', 'rrrrw', { EVAL: 1, UPDATE: 0 }),
    [gamma, beta, mean, variance, stats],
    uniform().uint(c, 0, 0, 0).float(eps, 0),
    gridFor(c, 64),
  );
}

/** Launches norm_apply. */
function apply(device: Device, bindings: string, pass: Pass, buffers: readonly Storage[], s: NormShape): void {
  const vec = s.hw % 4 === 0;
  const size = (s.n * s.c * s.hw) / (vec ? 4 : 1);
  const params = uniform().uint(size, s.c, vec ? s.hw / 4 : s.hw, s.n * s.hw);
  device.dispatch(program('norm_apply', bindings, { ...pass, VEC: vec }), buffers, params, gridFor(size, 64));
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
  sums: Storage,
  s: NormShape,
  relu: boolean,
  plan = planFor(device),
): void {
  if (plan === 'channels') {
    byChannel(device, 'rrrw', { FORWARD: false, TRAIN: true, RELU: relu, APPLY: false }, [x, stats, g, sums], s);
    return;
  }
  const { slices, variant, params } = sharing(device, s);
  inSlices(device, sums, slices, 2 * s.c, part =>
    device.dispatch(
      program('norm_sums', 'rrrw', { GRADIENTS: 1, RELU: relu ? 1 : 0, ...variant }),
      [x, g, stats, part],
      params,
      gridFor(s.c * slices, 1),
    ),
  );
}

/** In train mode, where the statistics depend on x: sums [2, C] = the gradients by beta and by gamma, and gx from g. */
export function normTrainBackward(
  device: Device,
  x: Storage,
  g: Storage,
  stats: Storage,
  sums: Storage,
  gx: Storage,
  s: NormShape,
  relu: boolean,
  plan = planFor(device),
): void {
  if (plan === 'channels') {
    byChannel(device, 'rrrww', { FORWARD: false, TRAIN: true, RELU: relu }, [x, stats, g, sums, gx], s);
    return;
  }
  normSums(device, x, g, stats, sums, s, relu, plan);
  apply(device, 'rrrrw', { FORWARD: false, TRAIN: true, RELU: relu }, [x, stats, g, sums, gx], s);
}

/** In eval mode gx from g. */
export function normBackward(
  device: Device,
  x: Storage,
  g: Storage,
  stats: Storage,
  gx: Storage,
  s: NormShape,
  relu: boolean,
  plan = planFor(device),
): void {
  const launch = plan === 'channels' ? byChannel : apply;
  launch(device, 'rrrw', { FORWARD: false, TRAIN: false, RELU: relu }, [x, stats, g, gx], s);
}
