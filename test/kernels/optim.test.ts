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
              sgdStep(device, hyper.storage, grad.storage, w.storage, v.storage, { mask: masked ? m.storage : undefined }, n, {
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

  it('beside masked momentum, momentum without the mask', async () => {
    const n = 301;
    const mask = map(random([n], 1, 0, 1), v => (v < 0.6 ? 0 : 1));
    const [start, g1, g2] = [random([n], 2), random([n], 3), random([n], 4)];
    const options = { momentum: 0.9, weightDecay: 0.01, nesterov: false };
    const [dense, weight] = await run(
      device,
      [start, ref([n]), ref([n]), mask, ref([1], 0.1), g1, g2],
      (w, v, u, m, hyper, ...g) => {
        for (const grad of g) {
          sgdStep(device, hyper.storage, grad.storage, w.storage, v.storage, { mask: m.storage, dense: u.storage }, n, options);
        }
        return [u, w];
      },
    );
    const step = { lr: 0.1, ...options };
    const first = reference.sgdStep(start, g1, ref([n]), step, mask);
    const second = reference.sgdStep(first.weight, g2, first.velocity, step, mask);
    const denseFirst = reference.sgdStep(start, g1, ref([n]), step).velocity;
    checkForward('sgdStep', dense, reference.sgdStep(first.weight, g2, denseFirst, step).velocity);
    checkForward('sgdStep', weight, second.weight);
  });

  it('the learning rate is read when the step runs', async () => {
    const [w, v, g, hyper] = [[1], [0], [1], [0.5]].map(values => tensor(device, values));
    const step = () =>
      sgdStep(device, hyper.storage, g.storage, w.storage, v.storage, {}, 1, {
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
