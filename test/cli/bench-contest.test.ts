/** Taking turns and what is made of it: who runs when, ratios by round, a contestant that fails, and the names of shapes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { differenceOf, sampleOf, takeTurns } from '../../src/cli/bench/contest.ts';
import { areShapes, convShapes, shapeTitle } from '../../src/cli/bench/conv-shapes.ts';
import { smallestRatios } from '../../src/cli/bench/passes.ts';
import type { PeerWork } from '../../src/cli/bench/peer.ts';

/** Of bench/peers, which is JavaScript without types. */
const peersFile = new URL('../../bench/peers/sample.js', import.meta.url).href;
const { sampleOf: peersSample } = (await import(peersFile)) as { sampleOf: typeof sampleOf };

/** A contestant whose run takes the next of the given milliseconds, and who fails when they are used up. */
function contestant(name: string, passes: string[], times: number[], log: string[]): PeerWork {
  const left = [...times];
  const run = async (pass: string, runs: number) => {
    log.push(`${name} ${pass}`);
    const time = left.shift();
    if (time === undefined) throw new Error('out of memory');
    return time * runs;
  };
  return { name, version: '1', passes, results: {}, run, close: () => {} };
}

describe('takeTurns', () => {
  const own = (log: string[]) => ({
    forward: async (runs: number) => {
      log.push('own forward');
      return 10 * runs;
    },
    all: async (runs: number) => {
      log.push('own all');
      return 20 * runs;
    },
  });

  it('goes round by round, and divides a round by the same round', async () => {
    const log: string[] = [];
    const slow = contestant('slow', ['forward'], [30, 50, 10], log);
    const { own: mine, peers } = await takeTurns(own(log), [slow], { samples: 3, runs: 1 });
    expect(log).toEqual(Array(3).fill(['own forward', 'slow forward', 'own all']).flat());
    expect(mine.forward).toEqual({ median: 10, min: 10, max: 10, samples: 3, runs: 1 });
    expect(peers).toEqual([
      {
        name: 'slow',
        version: '1',
        timing: { forward: { median: 30, min: 10, max: 50, samples: 3, runs: 1 } },
        ratio: { forward: { median: 3, min: 1, max: 5 } },
      },
    ]);
  });

  it('finds out for each how many runs last long enough for a clock', async () => {
    const log: string[] = [];
    const quick = contestant('quick', ['forward'], [100, 2, 2], log);
    const { own: mine, peers } = await takeTurns(own(log), [quick], { samples: 1 });
    expect([mine.forward.runs, mine.all.runs]).toEqual([5, 3]); // of 50 ms
    expect(peers).toMatchObject([{ timing: { forward: { runs: 25, median: 2 } }, ratio: { forward: { median: 0.2 } } }]);
  });

  it('goes on without one that fails, and says why it failed', async () => {
    const log: string[] = [];
    const dying = contestant('dying', ['forward', 'all'], [1, 1, 1], log);
    const well = contestant('well', ['all'], [40, 40], log);
    const { own: mine, peers } = await takeTurns(own(log), [dying, well], { samples: 2, runs: 1 });
    expect(mine.all.samples).toBe(2);
    expect(peers).toMatchObject([
      { name: 'dying', error: 'out of memory' },
      { name: 'well', ratio: { all: { median: 2 } } },
    ]);
    expect(log.filter(line => line.startsWith('dying'))).toHaveLength(4);
  });
});

it('smallestRatios finds the row where a library comes nearest, apart for each pass', () => {
  const peer = (name: string, forward: number, all: number) => ({
    name,
    version: '',
    rates: {},
    ratio: { forward: { median: forward, min: 0, max: 99 }, all: { median: all, min: 0, max: 99 } },
  });
  const failed = { name: 'b', version: '', error: 'lost' };
  const rows = [
    { at: 'x', own: { forward: 1, all: 1 }, peers: [peer('a', 5, 4), peer('b', 7, 8)] },
    { at: 'y', own: { forward: 1, all: 1 }, peers: [peer('a', 3, 6), failed] },
  ];
  expect(smallestRatios(rows, row => row.at)).toEqual([
    { name: 'a', pass: 'forward', ratio: 3, shape: 'y' },
    { name: 'a', pass: 'all', ratio: 4, shape: 'x' },
    { name: 'b', pass: 'forward', ratio: 7, shape: 'x' },
    { name: 'b', pass: 'all', ratio: 8, shape: 'x' },
  ]);
});

describe('what is compared', () => {
  it('is the same elements in both processes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), n => {
        const values = Float32Array.from({ length: n }, (_, i) => i);
        const mine = sampleOf(values);
        expect(peersSample(values)).toEqual(mine);
        expect(mine.length).toBe(Math.min(n, 1000));
        expect(new Set(mine).size).toBe(mine.length);
        expect(mine.at(-1)).toBeGreaterThanOrEqual(Math.floor(n / 2));
      }),
    );
  });

  it('differs without bound where there is a NaN or another length', () => {
    expect(differenceOf([1, 2, 4], [1, 3, 4])).toBe(0.25);
    expect(differenceOf([0, 0], [0, 0])).toBe(0);
    expect(differenceOf([1, Number.NaN], [1, 2])).toBe(Infinity);
    expect(differenceOf([1], [1, 2])).toBe(Infinity);
  });
});

describe('--shapes', () => {
  const size = fc.integer({ min: 1, max: 999 });
  const shape = fc.record({ ci: size, co: size, size, kernel: fc.constantFrom(1, 3, 5, 11), stride: size, n: size });

  it('reads what it is written as', () => {
    fc.assert(
      fc.property(fc.array(shape, { minLength: 1, maxLength: 4 }), shapes => {
        const list = shapes.map(z => `${z.ci}-${z.co}x${z.size}k${z.kernel}s${z.stride}n${z.n}`).join(',');
        expect(areShapes(list)).toBe(true);
        expect(convShapes(list, 7)).toEqual(shapes);
      }),
    );
  });

  it('fills in a 3x3 kernel, stride 1, as many channels, and the batch', () => {
    expect(convShapes('64x32, 3-8x9n2', 7)).toEqual([
      { n: 7, ci: 64, co: 64, size: 32, kernel: 3, stride: 1 },
      { n: 2, ci: 3, co: 8, size: 9, kernel: 3, stride: 1 },
    ]);
    expect(convShapes('all', 8)).toHaveLength(24);
    expect(shapeTitle(convShapes('3-8x9n2', 7)[0], 7)).toBe('3→8 9², batch 2');
  });

  it.each(['', 'stage', '64', '64x', '0x32', '64x32k2', '64x32s0', '64x32,', '64x32n1k3', '64X32', 'toString'])(
    'refuses %j',
    list => {
      expect(areShapes(list)).toBe(false);
    },
  );
});
