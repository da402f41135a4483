/** Kernels that do one thing as fast as the adapter can: the ceilings that `sparrow bench --suite limits` measures. */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

/** Invocations of a workgroup of these kernels. */
export const LIMIT_GROUP = 256;
/** a and b of the recurrence: it tends to 1, so no number of turns overflows or makes it denormal. */
export const FMA_RATES = [0.999, 0.001] as const;
/** Loads of workgroup memory in a turn. */
export const SHARED_READS = 8;

/**
 * y[i] = Σ over chains j and components c of v, where v starts as (i mod 64)/64 + c + j and goes through v <- a·v + b `loops`·`repeat` times.
 * @param y one float for each invocation, `groups`·256
 * @param chains vec4 recurrences of an invocation: enough to hide a multiply-add's latency, few enough for its registers
 * @param repeat multiply-adds of a chain in a turn of the loop: more than one where the loop itself costs
 * @param fused whether to ask for `fma()` instead of a*v + b @returns floating-point operations done
 */
export function limitFma(
  device: Device,
  y: Storage,
  { groups, loops, chains, repeat, fused }: { groups: number; loops: number; chains: number; repeat: number; fused: boolean },
): number {
  const p = program('limit_fma', 'w', { FUSED: fused, CHAINS: chains, REPEAT: repeat });
  device.dispatch(
    p,
    [y],
    uniform()
      .uint(loops)
      .float(...FMA_RATES),
    [groups, 1, 1],
  );
  return groups * LIMIT_GROUP * chains * 4 * 2 * loops * repeat;
}

/**
 * y[i] = the sum of the floats of x[i + k·groups·256], k = 0, 1, ..., x counted in vec4s.
 * @param size vec4s of x @param y one float for each invocation @param loads of an invocation in flight @returns bytes read
 */
export function limitRead(device: Device, x: Storage, size: number, y: Storage, groups: number, loads: number): number {
  device.dispatch(program('limit_read', 'rw', { LOADS: loads }), [x, y], uniform().uint(size, groups * LIMIT_GROUP), [
    groups,
    1,
    1,
  ]);
  return 16 * size;
}

/** y = x, both of `size` vec4s. @returns bytes read and written */
export function limitCopy(device: Device, x: Storage, y: Storage, size: number): number {
  device.dispatch(program('limit_copy', 'rw'), [x, y], uniform().uint(size), gridFor(size, LIMIT_GROUP));
  return 32 * size;
}

/**
 * y[i] = Σ over k < loops and j < 8 of the floats of tile[(i + k + 32·j) mod 256], where tile[l] = l/256 + (0, 1, 2, 3).
 * @param y one float for each invocation @returns bytes read from workgroup memory
 */
export function limitShared(device: Device, y: Storage, groups: number, loops: number): number {
  device.dispatch(program('limit_shared', 'w'), [y], uniform().uint(loops), [groups, 1, 1]);
  return groups * LIMIT_GROUP * SHARED_READS * 16 * loops;
}
