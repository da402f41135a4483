/** Memory of a backward pass, and a training step replayed from a capture. */
import { describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { Parameter } from '../../src/nn/module.ts';
import { Sgd } from '../../src/nn/optim.ts';
import { capture, scope, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { fromRef, random, testDevice } from '../engine.ts';

const device = await testDevice();
const live = () => device.stats.live;

describe('a backward pass', () => {
  const size = 1 << 16; // 256 KiB a tensor
  const x = F.track(fromRef(device, random([size], 1)));
  const depth = 40;
  /** Every step keeps its output for the backward pass. */
  const chain = () => {
    let h: Tensor = x;
    for (let i = 0; i < depth; i++) h = F.tanh(F.add(h, x));
    return F.sum(h);
  };

  it('inside a scope gives everything back', () => {
    const before = live();
    scope(device, () => {
      F.grad(chain(), [x]);
    });
    expect(live()).toBe(before);
  });

  it('with createGraph too', () => {
    const before = live();
    scope(device, () => {
      const [g] = F.grad(chain(), [x], { createGraph: true });
      F.grad(F.sum(F.square(g)), [x]);
    });
    expect(live()).toBe(before);
  });

  it('leaves behind its results and nothing else, inside a scope and outside of any', () => {
    const before = live();
    const kept = scope(device, () => F.grad(chain(), [x])[0]);
    expect(live() - before).toBe(4 * size);
    kept.dispose();
    expect(live()).toBe(before);

    const y = chain();
    const forward = live();
    const [g] = F.grad(y, [x]);
    expect(live() - forward).toBe(4 * size);
    g.dispose();
    expect(live()).toBe(forward);
  });

  it('frees gradients of intermediate results as it goes', () => {
    scope(device, () => {
      const y = chain();
      device.resetPeak();
      const before = live();
      F.grad(y, [x]);
      // the gradient at hand, the one being made with the operations' own temporaries, and the sum for x
      expect(device.stats.peak - before).toBeLessThanOrEqual(8 * 4 * size);
    });
  });
});

describe('a captured training step', () => {
  /** Convolution, batch norm, ReLU, linear layer: parameters at fixed values, and one step on a fixed batch. */
  function make() {
    const parameters = new Map(
      Object.entries({ conv: [4, 3, 3, 3], gamma: [4], beta: [4], weight: [5, 4], bias: [5] }).map(([name, shape], i) => [
        name,
        new Parameter(fromRef(device, random(shape, i + 1, -0.5, 0.5))),
      ]),
    );
    const running = { mean: fromRef(device, random([4], 11)), var: fromRef(device, random([4], 12, 0.5, 1)), momentum: 0.1 };
    const images = fromRef(device, random([6, 3, 8, 8], 13, 0, 1));
    const labels = tensor(device, [0, 1, 2, 3, 4, 0], [6], 'i32');
    const optimiser = new Sgd(parameters, { lr: 0.1, momentum: 0.9, weightDecay: 5e-4 });
    const [conv, gamma, beta, weight, bias] = parameters.values();
    const step = () => {
      const h = F.batchNorm(F.conv2d(images, conv, { padding: 1 }), gamma, beta, { train: true, eps: 1e-5, running, relu: true });
      const loss = F.crossEntropy(F.linear(F.flatten(F.adaptiveAvgPool2d(h)), weight, bias), labels);
      const gradients = F.grad(loss, [...parameters.values()]);
      optimiser.step(new Map([...parameters.keys()].map((name, i) => [name, gradients[i]])));
      return loss;
    };
    const state = async () => {
      const tensors = [...parameters.values(), ...optimiser.velocity.values(), running.mean, running.var];
      return Promise.all(tensors.map(async t => [...(await t.floats())]));
    };
    return { step, state, optimiser };
  }

  it('has the bits of the eager one, follows the learning rate, and makes no buffer', async () => {
    const rates = [0.1, 0.1, 0.05, 0.01];
    const eager = make();
    const losses: number[] = [];
    for (const lr of rates) {
      eager.optimiser.setLr(lr);
      const loss = scope(device, eager.step);
      losses.push(await loss.item());
      loss.dispose();
    }

    const replayed = make();
    const step = capture(device, replayed.step);
    const found: number[] = [];
    let buffers = 0;
    for (const [i, lr] of rates.entries()) {
      replayed.optimiser.setLr(lr);
      found.push(await step.run().item());
      if (i === 0) buffers = device.stats.buffersMade;
    }
    expect(device.stats.buffersMade).toBe(buffers);
    expect(found).toEqual(losses);
    expect(losses.at(-1)).toBeLessThan(losses[0]);
    expect(await replayed.state()).toEqual(await eager.state());
    step.dispose();
  });
});
