/** How many kernels an attack step and a training step of PreActResNet-18 launch on a GPU, where each costs 5 to 10 us whatever it does. */
import { expect, it } from 'vitest';
import { pgd } from '../../src/adv/pgd.ts';
import * as F from '../../src/autograd/index.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { Sgd } from '../../src/nn/optim.ts';
import { Random } from '../../src/tensor/philox.ts';
import { capture, tensor, zeros } from '../../src/tensor/tensor.ts';
import { asGpu, testDevice } from '../engine.ts';

// what is recorded and never run: no kernel is compiled
const device = asGpu(await testDevice());
const model = createModel(
  'resnet18',
  { device, random: new Random(0) },
  { width: 64, classes: 10, mean: [0, 0, 0], std: [1, 1, 1] },
);
const optimiser = new Sgd(model.parameters(), { lr: 0.1, momentum: 0.9, weightDecay: 5e-4 });
const x = zeros(device, [2, 3, 32, 32]);
const labels = tensor(device, [0, 1], [2], 'i32');

/** Launches by kernel file. */
function launches(work: () => unknown): Record<string, number> {
  const step = capture(device, () => void work());
  const counts: Record<string, number> = {};
  for (const { label } of step.capture.programs()) {
    const [file] = label.split('.');
    counts[file] = (counts[file] ?? 0) + 1;
  }
  step.dispose();
  return counts;
}

const attack = (steps: number) =>
  pgd(
    t => model.forward(t),
    x,
    labels,
    { norm: 'linf', eps: 8 / 255, stepSize: 2 / 255, steps, randomInit: false },
    new Random(1),
  );

it('a step of an attack: what is added to a gradient is added where the gradient is written', () => {
  expect(launches(() => attack(1))).toEqual({
    // the perturbation's start, the gradient of the loss
    fill: 2,
    conv_pack: 49,
    // forward 20; input gradients 20, and 9 for the other phases of three 3x3 kernels of stride 2
    conv_gemm: 49,
    // the input gradients of three 1x1 kernels of stride 2
    spread: 3,
    norm_sums: 34,
    norm_apply: 34,
    // residuals 8, normalised pixels and their gradient 2, the bias of the linear layer
    elementwise: 11,
    pool: 2,
    matmul: 2,
    rows: 2,
    reduce: 1,
    strided: 1,
    attack_step: 1,
  });
});

it('a step of training with ten of attack', () => {
  const counts = launches(() => {
    const losses = F.crossEntropy(model.forward(attack(10)), labels);
    const gradients = F.grad(losses, [...model.parameters().values()]);
    optimiser.step(new Map([...model.parameters().keys()].map((name, i) => [name, gradients[i]])));
  });
  const total = Object.values(counts).reduce((a, b) => a + b);
  expect(total).toBe(1731);
  // weights that stay as they are are packed once
  expect(counts).toMatchObject({ conv_pack: 49, conv_gemm: 11 * 49 - 1, norm_sums: 11 * 34, norm_apply: 11 * 34 });
});
