/** The optimiser's kernel against the float64 reference, over several steps. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sgdStep } from '../../src/kernels/optim.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { between, checkForward, forAll, random, run, seeds, testDevice } from '../engine.ts';
import { map, ref } from '../reference/array.ts';
import * as reference from '../reference/optim.ts';

const device = await testDevice();

describe('sgdStep', () => {
  it.each([
    { masked: false, nesterov: false },
    { masked: false, nesterov: true },
    { masked: true, nesterov: false },
    { masked: true, nesterov: true },
  ])('masked $masked, nesterov $nesterov', async ({ masked, nesterov }) => {
    await forAll(
      fc.record({
        n: fc.oneof(between(1, 9), between(10, 3000)),
        momentum: fc.constantFrom(0, 0.9),
        weightDecay: fc.constantFrom(0, 5e-4, 0.1),
        lr: fc.constantFrom(0.1, 0.5),
        seed: seeds,
      }),
      async ({ n, momentum, weightDecay, lr, seed }) => {
        const gradients = [0, 1, 2].map(i => random([n], seed + i));
        const mask = map(random([n], seed + 3, 0, 1), v => (masked && v < 0.6 ? 0 : 1));
        const start = random([n], seed + 4);
        const [weight, velocity] = await run(
          device,
          [start, ref([n]), mask, ref([1], lr), ...gradients],
          (w, v, m, hyper, ...g) => {
            for (const grad of g) {
              sgdStep(device, hyper.storage, grad.storage, w.storage, v.storage, masked ? m.storage : undefined, n, {
                momentum,
                weightDecay,
                nesterov,
              });
            }
            return [w, v];
          },
        );
        let state = { weight: start, velocity: ref([n]) };
        for (const g of gradients) {
          state = reference.sgdStep(state.weight, g, state.velocity, { lr, momentum, weightDecay, nesterov }, mask);
        }
        checkForward('sgdStep', weight, state.weight);
        checkForward('sgdStep', velocity, state.velocity);
        if (masked) {
          mask.data.forEach((m, i) => {
            if (m === 0) expect([weight.data[i], velocity.data[i]]).toEqual([0, 0]);
          });
        }
      },
      15,
    );
  });

  it('the learning rate is read when the step runs', async () => {
    const [w, v, g, hyper] = [[1], [0], [1], [0.5]].map(values => tensor(device, values));
    const step = () =>
      sgdStep(device, hyper.storage, g.storage, w.storage, v.storage, undefined, 1, {
        momentum: 0,
        weightDecay: 0,
        nesterov: false,
      });
    step();
    hyper.write([0.25]);
    step();
    expect(await w.item()).toBe(0.25);
    for (const t of [w, v, g, hyper]) t.dispose();
  });
});
