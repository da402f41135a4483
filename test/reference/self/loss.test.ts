/** Losses: gradients, PyTorch's numbers, and what the attack losses mean. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { map, type Ref, ref } from '../array.ts';
import { readFixture } from '../fixture.ts';
import * as loss from '../loss.ts';
import { distinct, integers, uniform } from '../random.ts';
import { expectClose, expectGradient } from './gradient.ts';

const seeds = fc.integer({ min: 0, max: 1e6 });
const rows = fc.integer({ min: 1, max: 5 });
const classes = fc.integer({ min: 4, max: 11 });
const fixture = readFixture('operations');

describe('softmax and log-softmax', () => {
  for (const [name, op] of Object.entries({ softmax: loss.softmax, logSoftmax: loss.logSoftmax })) {
    it(`${name}: gradient`, () => {
      fc.assert(
        fc.property(rows, classes, seeds, (n, k, seed) => {
          expectGradient([uniform([n, k], seed, -4, 4)], op.forward, (g, z) => [op.backward(z, g)], seed);
        }),
      );
    });
    it(`${name}: as PyTorch`, () => {
      const z = fixture.get(`loss.${name}.in.z`);
      expectClose(op.forward(z), fixture.get(`loss.${name}.out`));
      expectClose(op.backward(z, fixture.get(`loss.${name}.g`)), fixture.get(`loss.${name}.grad.z`));
    });
  }
  it('large logits neither overflow nor vanish', () => {
    expectClose(loss.logSoftmax.forward(ref([1, 2], [1000, 0])), ref([1, 2], [0, -1000]));
  });
});

describe('cross-entropy', () => {
  const options = fc.record({
    reduction: fc.constantFrom('mean' as const, 'sum' as const, 'none' as const),
    labelSmoothing: fc.constantFrom(0, 0.1, 0.5),
  });
  it('gradient', () => {
    fc.assert(
      fc.property(rows, classes, options, seeds, (n, k, choice, seed) => {
        const labels = integers(n, seed + 1, k);
        const backward = (g: Ref, z: Ref) => [loss.crossEntropy.backward(z, labels, choice, g)];
        expectGradient([uniform([n, k], seed, -4, 4)], z => loss.crossEntropy.forward(z, labels, choice), backward, seed);
      }),
    );
  });
  it('is as in PyTorch', () => {
    const labels = fixture.get('loss.labels').data;
    const cases = fixture.meta<loss.CrossEntropyOptions[]>('losses');
    expect(cases).toHaveLength(6);
    cases.forEach((choice, i) => {
      const z = fixture.get(`loss.ce.${i}.in.z`);
      expectClose(loss.crossEntropy.forward(z, labels, choice), fixture.get(`loss.ce.${i}.out`));
      expectClose(
        loss.crossEntropy.backward(z, labels, choice, fixture.get(`loss.ce.${i}.g`)),
        fixture.get(`loss.ce.${i}.grad.z`),
      );
    });
  });
});

describe('KL divergence', () => {
  for (const reduction of ['sum', 'batchmean'] as const) {
    it(`${reduction}: gradient to both logits`, () => {
      fc.assert(
        fc.property(rows, classes, seeds, (n, k, seed) => {
          const inputs = [uniform([n, k], seed, -3, 3), uniform([n, k], seed + 5, -3, 3)];
          const backward = (g: Ref, a: Ref, b: Ref) => loss.klDivergence.backward(a, b, reduction, g);
          expectGradient(inputs, (a, b) => loss.klDivergence.forward(a, b, reduction), backward, seed);
        }),
      );
    });
    it(`${reduction}: as PyTorch`, () => {
      const name = `loss.kl.${reduction}`;
      const [a, b] = [fixture.get(`${name}.in.a`), fixture.get(`${name}.in.b`)];
      expectClose(loss.klDivergence.forward(a, b, reduction), fixture.get(`${name}.out`));
      const [da, db] = loss.klDivergence.backward(a, b, reduction, fixture.get(`${name}.g`));
      expectClose(da, fixture.get(`${name}.grad.a`));
      expectClose(db, fixture.get(`${name}.grad.b`));
    });
  }
  it('is 0 between equal distributions and positive otherwise', () => {
    const a = uniform([2, 5], 3);
    const shifted = map(a, value => value + 7);
    expect(Math.abs(loss.klDivergence.forward(a, shifted, 'sum').data[0])).toBeLessThan(1e-12);
    expect(loss.klDivergence.forward(a, uniform([2, 5], 4), 'sum').data[0]).toBeGreaterThan(0);
  });
});

describe('attack losses', () => {
  it('gradients of CW margin, DLR and targeted DLR', () => {
    fc.assert(
      fc.property(rows, classes, seeds, (n, k, seed) => {
        const labels = integers(n, seed + 1, k);
        const targets = labels.map((label, i) => (label + 1 + (i % (k - 1))) % k);
        const z = [distinct([n, k], seed, 0.05)];
        expectGradient(
          z,
          x => loss.cwMargin.forward(x, labels),
          (g, x) => [loss.cwMargin.backward(x, labels, g)],
          seed,
        );
        expectGradient(
          z,
          x => loss.dlr.forward(x, labels),
          (g, x) => [loss.dlr.backward(x, labels, g)],
          seed,
        );
        const backward = (g: Ref, x: Ref) => [loss.dlrTargeted.backward(x, labels, targets, g)];
        expectGradient(z, x => loss.dlrTargeted.forward(x, labels, targets), backward, seed);
      }),
    );
  });
  it('values worked by hand', () => {
    const z = ref([2, 4], [4, 1, 3, 2, 4, 1, 3, 2]);
    const labels = [0, 2];
    expect([...loss.cwMargin.forward(z, labels).data]).toEqual([-1, 1]);
    expectClose(loss.dlr.forward(z, labels), ref([2], [-1 / 2, 1 / 2]), 1e-11);
    expectClose(loss.dlrTargeted.forward(z, labels, [1, 3]), ref([2], [-3 / 2.5, -1 / 2.5]), 1e-11);
  });
  it('DLR does not change when logits are shifted and scaled', () => {
    fc.assert(
      fc.property(classes, seeds, (k, seed) => {
        const z = distinct([3, k], seed, 0.1);
        const labels = integers(3, seed, k);
        expectClose(
          loss.dlr.forward(
            map(z, value => 5 * value - 2),
            labels,
          ),
          loss.dlr.forward(z, labels),
          1e-9,
        );
      }),
    );
  });
});
