/** Cases of the kernels that measure an adapter's ceilings: that they do all the work which is counted. */
import { FMA_RATES, LIMIT_GROUP, limitCopy, limitFma, limitRead, limitShared, SHARED_READS } from '../../kernels/limits.ts';
import { empty } from '../../tensor/tensor.ts';
import { bytesOf, each, floats, type KernelCase } from './case.ts';

const lanes = [0, 1, 2, 3];

type Fma = Parameters<typeof limitFma>[2];

function fmaCase(work: Fma, size: KernelCase['size']): KernelCase {
  const { groups, chains, fused } = work;
  const n = groups * LIMIT_GROUP;
  const loops = work.loops * work.repeat;
  const [a, b] = FMA_RATES.map(Math.fround);
  const chain = (v: number): number => {
    for (let k = 0; k < loops; k++) v = a * v + b;
    return v;
  };
  return {
    title: `${loops} times ${chains} ${fused ? 'fma()' : 'a*b + c'}, ${n} invocations`,
    size,
    inputs: () => [],
    launch: device => {
      const y = empty(device, [n]);
      limitFma(device, y.storage, work);
      return [y];
    },
    reference: () => {
      // a linear recurrence: the sum over chains and lanes goes through it as its mean does
      const starts = lanes.flatMap(c => Array.from({ length: chains }, (_, j) => c + j));
      const mean = starts.reduce((x, y) => x + y) / starts.length;
      const of64 = Array.from({ length: 64 }, (_, i) => starts.length * chain(i / 64 + mean));
      return [each(n, i => of64[i % 64])];
    },
    tolerance: 1e-5,
    work: { flops: n * chains * 4 * 2 * loops },
  };
}

function readCase(vectors: number, groups: number, loads: number, size: KernelCase['size']): KernelCase {
  const stride = groups * LIMIT_GROUP;
  return {
    title: `sums of ${vectors} vec4s by ${stride} invocations, ${loads} in flight`,
    size,
    inputs: () => [floats([4 * vectors], 1)],
    launch: (device, [x]) => {
      const y = empty(device, [stride]);
      limitRead(device, x.storage, vectors, y.storage, groups, loads);
      return [y];
    },
    reference: ([x]) => {
      const y = new Float64Array(stride);
      for (let i = 0; i < x.length; i++) y[Math.floor(i / 4) % stride] += x[i];
      return [y];
    },
    tolerance: 1e-5,
    work: bytesOf(4 * vectors),
  };
}

function copyCase(vectors: number, size: KernelCase['size']): KernelCase {
  return {
    title: `copy of ${vectors} vec4s`,
    size,
    inputs: () => [floats([4 * vectors], 1)],
    launch: (device, [x]) => {
      const y = empty(device, [4 * vectors]);
      limitCopy(device, x.storage, y.storage, vectors);
      return [y];
    },
    reference: ([x]) => [x],
    tolerance: 0,
    work: bytesOf(8 * vectors),
  };
}

function sharedCase(groups: number, loops: number, size: KernelCase['size']): KernelCase {
  const n = groups * LIMIT_GROUP;
  return {
    title: `${loops} turns of ${SHARED_READS} reads by ${n} invocations`,
    size,
    inputs: () => [],
    launch: device => {
      const y = empty(device, [n]);
      limitShared(device, y.storage, groups, loops);
      return [y];
    },
    reference: () => {
      const tile = each(LIMIT_GROUP, l => lanes.reduce((sum, c) => sum + l / LIMIT_GROUP + c, 0));
      const one = each(LIMIT_GROUP, i => {
        let sum = 0;
        for (let k = 0; k < loops; k++) for (let j = 0; j < SHARED_READS; j++) sum += tile[(i + k + 32 * j) % LIMIT_GROUP];
        return sum;
      });
      return [each(n, i => one[i % LIMIT_GROUP])];
    },
    tolerance: 1e-5,
    work: { bytes: n * SHARED_READS * 16 * loops },
  };
}

/** By kernel file. */
export const limitCases: Readonly<Record<string, readonly KernelCase[]>> = {
  limit_fma: [
    fmaCase({ groups: 2, loops: 50, chains: 16, repeat: 1, fused: false }, 'small'),
    fmaCase({ groups: 2, loops: 5, chains: 3, repeat: 16, fused: true }, 'small'),
    fmaCase({ groups: 1024, loops: 1000, chains: 16, repeat: 1, fused: false }, 'large'),
  ],
  limit_read: [readCase(3000, 1, 4, 'small'), readCase(3000, 1, 1, 'small'), readCase(2 ** 22, 256, 4, 'large')],
  limit_copy: [copyCase(3001, 'small'), copyCase(2 ** 22, 'large')],
  limit_shared: [sharedCase(2, 20, 'small'), sharedCase(1024, 500, 'large')],
};
