/** Random numbers on the device: the same bits as on the CPU, and the moments of their distributions. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random, Stream } from '../../src/tensor/philox.ts';
import { randomNormal, randomPermutation, randomUniform, randomWords, replayNumber } from '../../src/tensor/random.ts';
import { capture, scope, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { between, forAll, testDevice } from '../engine.ts';

const device = await testDevice();

async function values(work: () => Tensor) {
  const t = scope(device, work);
  const data = await t.data();
  t.dispose();
  return data;
}

/** Seeds beyond 32 bits, every stream, draws beyond 32 bits. */
const states = fc.record({
  seed: fc.oneof(between(0, 99), fc.maxSafeNat()),
  stream: fc.constantFrom(...Object.values(Stream)),
  draw: fc.oneof(between(0, 9), fc.integer({ min: 2 ** 32 - 2, max: 2 ** 40 })),
});

describe('random tensors', () => {
  it('words and uniforms have the bits of the CPU', async () => {
    await forAll(fc.tuple(states, between(1, 3000)), async ([state, n]) => {
      const [here, there] = [Random.from(state), Random.from(state)];
      expect(await values(() => randomWords(device, [n], there))).toEqual(here.words(n));
      expect(await values(() => randomUniform(device, [n], there))).toEqual(here.uniform(n));
      expect(there.state()).toEqual(here.state());
    });
  });

  it('more than 65 535 workgroups of blocks', async () => {
    const n = 4 * 64 * 65535 + 9;
    const words = (await values(() => randomWords(device, [n], new Random(5)))) as Uint32Array;
    const expected = new Random(5).words(n);
    expect(words.findIndex((w, i) => w !== expected[i])).toBe(-1);
  });

  it('normals are Box-Muller of the words', async () => {
    await forAll(
      fc.tuple(states, between(1, 500)),
      async ([state, n]) => {
        const [mean, deviation] = [1.5, 2];
        const words = Random.from(state).words(4 * Math.ceil(n / 4));
        const unit = (i: number) => (words[i] >>> 8) / 2 ** 24;
        const expected = Array.from({ length: n }, (_, i) => {
          const pair = 2 * Math.floor(i / 2);
          const radius = Math.sqrt(-2 * Math.log(1 - unit(pair)));
          const angle = 2 * Math.PI * unit(pair + 1);
          return mean + deviation * radius * (i % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
        });
        const got = await values(() => randomNormal(device, [n], Random.from(state), mean, deviation));
        // WGSL allows cos and sin an absolute error of 2^-11, log one of 2^-21 near 1
        got.forEach((v, i) => {
          expect(Math.abs(v - expected[i])).toBeLessThan(5e-3);
        });
      },
      15,
    );
  });

  it('moments of a million', async () => {
    const n = 1_000_000;
    const moments = (x: ArrayLike<number>) => {
      const sums = [0, 0, 0, 0];
      for (let i = 0; i < n; i++) for (let p = 0; p < 4; p++) sums[p] += x[i] ** (p + 1);
      return sums.map(s => s / n);
    };
    const normal = moments(await values(() => randomNormal(device, [n], new Random(1))));
    [0, 1, 0, 3].forEach((m, p) => {
      expect(Math.abs(normal[p] - m)).toBeLessThan([0.005, 0.007, 0.02, 0.05][p]);
    });
    const uniform = moments(await values(() => randomUniform(device, [n], new Random(2), -1, 1)));
    [0, 1 / 3, 0, 1 / 5].forEach((m, p) => {
      expect(Math.abs(uniform[p] - m)).toBeLessThan(0.003);
    });
  });

  it('a step tensor moves the draw number on', async () => {
    const step = tensor(device, [3], [1], 'u32');
    const state = { seed: 7, stream: 1, draw: 0 };
    const got = await values(() => randomWords(device, [10], Random.from(state), { step }));
    // the low word of the draw number is counter word 1: step is added to word 2, the high one
    expect(got).toEqual(Random.from({ ...state, draw: 3 * 2 ** 32 }).words(10));
    step.dispose();
  });

  it('the number of the replay as step: each replay of each captured step draws anew, and the same as in another run', async () => {
    expect(replayNumber(device)).toBeUndefined();
    const state = { seed: 7, stream: 1, draw: 5 };
    const made = () => capture(device, () => randomWords(device, [10], Random.from(state), { step: replayNumber(device) }));
    const steps = [made(), made()];
    for (let replay = 0; replay < 3; replay++) {
      const expected = Random.from({ ...state, draw: 5 + replay * 2 ** 32 }).words(10);
      for (const step of steps) step.run(); // the numbers of replays that wait together are kept apart
      for (const step of steps) expect(await step.result.data()).toEqual(expected);
    }
    for (const step of steps) step.dispose();
  });

  it('permutations are those of the CPU', async () => {
    await forAll(
      fc.tuple(states, between(1, 1500)),
      async ([state, n]) => {
        const got = await values(() => randomPermutation(device, n, Random.from(state)));
        expect(got).toEqual(Random.from(state).permutation(n));
      },
      15,
    );
  });

  it('a permutation of fifty thousand', async () => {
    const got = await values(() => randomPermutation(device, 50_000, new Random(3)));
    expect(got).toEqual(new Random(3).permutation(50_000));
  });
});
