/** PreActResNet-18 in float64 against PyTorch's: logits, loss, gradients, running statistics, SGD steps, PGD. */
import { describe, expect, it } from 'vitest';
import { type Ref, ref, scalar, zip } from '../array.ts';
import * as attack from '../attack.ts';
import { relativeError } from '../finite.ts';
import { readFixture, sample } from '../fixture.ts';
import { slice } from '../index.ts';
import { crossEntropy } from '../loss.ts';
import { preActResNet18, type State } from '../model.ts';
import { sgdStep } from '../optim.ts';
import { uniform } from '../random.ts';
import { expectClose, expectGradient } from './gradient.ts';

const fixture = readFixture('resnet18-width4');
const state = fixture.group('state.');
const images = fixture.get('x');
const labels = fixture.get('y').data;
/** Images first .. first + count - 1. */
const batch = (first: number, count: number) =>
  slice.forward(
    images,
    images.shape.map((extent, axis) => (axis === 0 ? [first, first + count, 1] : [0, extent, 1])),
  );
/** Stored as float32. */
const rounding = 1e-7;

/** Loss and gradients of the mean cross-entropy. */
function step(from: State, x: Ref, y: ArrayLike<number>, train: boolean) {
  const pass = preActResNet18(from, x, train);
  return {
    ...pass,
    loss: crossEntropy.forward(pass.logits, y),
    gradients: pass.backward(crossEntropy.backward(pass.logits, y, {}, scalar(1))),
  };
}

describe('PreActResNet-18', () => {
  for (const mode of ['eval', 'train']) {
    it(`${mode} mode: logits, loss, gradient by the pixels`, () => {
      const { logits, loss, gradients } = step(state, batch(0, 4), labels.slice(0, 4), mode === 'train');
      expectClose(logits, fixture.get(`${mode}.logits`), 1e-11);
      expectClose(loss, fixture.get(`${mode}.loss`), 1e-11);
      expect(relativeError(sample(gradients.x.data), fixture.get(`${mode}.grad.x`).data)).toBeLessThan(rounding);
    });
  }
  it('train mode: every parameter has its gradient, every norm its running statistics', () => {
    const { gradients, running } = step(state, batch(0, 4), labels.slice(0, 4), true);
    const expected = fixture.group('train.grad.');
    delete expected.x;
    expect(Object.keys(gradients.parameters).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, gradient] of Object.entries(gradients.parameters)) {
      expect(relativeError(sample(gradient.data), expected[name].data), name).toBeLessThan(rounding);
    }
    const after = fixture.group('train.after.');
    expect(Object.keys(running).sort()).toEqual(Object.keys(after).sort());
    for (const [name, statistic] of Object.entries(running)) expectClose(statistic, after[name], 1e-11);
  });
  it('three SGD steps: losses and the whole state', () => {
    const options = {
      lr: fixture.meta<number>('lr'),
      momentum: fixture.meta<number>('momentum'),
      weightDecay: fixture.meta<number>('weightDecay'),
    };
    let current: State = state;
    const velocity: State = {};
    const losses = [0, 4, 0].map(first => {
      const { loss, gradients, running } = step(current, batch(first, 4), labels.slice(first, first + 4), true);
      const next = { ...current, ...running };
      for (const [name, gradient] of Object.entries(gradients.parameters)) {
        const moved = sgdStep(current[name], gradient, velocity[name] ?? ref(gradient.shape), options);
        next[name] = moved.weight;
        velocity[name] = moved.velocity;
      }
      current = next;
      return loss.data[0];
    });
    expect(relativeError(losses, fixture.get('sgd.losses').data)).toBeLessThan(1e-11);
    const after = fixture.group('sgd.after.');
    expect(Object.keys(after).sort()).toEqual(Object.keys(current).sort());
    for (const [name, values] of Object.entries(after)) {
      expect(relativeError(sample(current[name].data), values.data), name).toBeLessThan(rounding);
    }
  });
  for (const mode of ['eval', 'train']) {
    it(`PGD-3 in Linf, ${mode} mode: adversarial images`, () => {
      const x = batch(0, 3);
      let d = ref(x.shape);
      for (let i = 0; i < 3; i++) {
        const { gradients } = step(state, plus(x, d), labels.slice(0, 3), mode === 'train');
        d = attack.linfStep(x, d, gradients.x, fixture.meta('alpha'), fixture.meta('eps'));
      }
      expectClose(plus(x, d), fixture.get(`pgd.${mode}.adv`), rounding);
    });
  }
  it('PGD-3 in L2: adversarial images', () => {
    const { eps, alpha } = fixture.meta<{ eps: number; alpha: number }>('l2');
    const x = batch(0, 3);
    let d = ref(x.shape);
    for (let i = 0; i < 3; i++)
      d = attack.l2Step(x, d, step(state, plus(x, d), labels.slice(0, 3), false).gradients.x, alpha, eps);
    expectClose(plus(x, d), fixture.get('pgd.l2.adv'), rounding);
  });
  it('gradient by the pixels agrees with finite differences', () => {
    const x = uniform([2, 3, 8, 8], 1, 0.2, 0.8);
    expectGradient(
      [x],
      input => preActResNet18(state, input, false).logits,
      (g, input) => [preActResNet18(state, input, false).backward(g).x],
      1,
      1e-5,
    );
  });
});

const plus = (a: Ref, b: Ref) => zip(a, b, (left, right) => left + right);
