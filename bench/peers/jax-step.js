/**
 * A PGD training step of PreActResNet-18 in jax-js: one function under `jit` for an iteration of the attack, one for the update. A single function
 * over all iterations would be compiled once for each of them, since there is no loop primitive.
 */
import { blockUntilReady, grad, jit, nn, numpy as np, random, tree, valueAndGrad } from '@jax-js/jax';
import { resnet18 } from './jax-resnet.js';

const MOMENTUM_OF_STATISTICS = 0.1;

/** Cross-entropy of each sample, [N]. */
const crossEntropy = (logits, oneHot) => nn.logSoftmax(logits).mul(oneHot).sum(-1).mul(-1);

/** Steps on one batch, as src/cli/bench/step-peers.ts describes them; the first two, which are compared, give the results. */
export async function trainingStep({ parameters, images, labels, classes, attack, optimiser, input }) {
  const { eps, stepSize, steps, comparedSteps, comparedEps } = attack;
  const { lr, momentum, weightDecay } = optimiser;

  const perturb = jit((p, x, adv, y, radius) => {
    const g = grad((a, q, t) => crossEntropy(resnet18(q, a, input), t).sum())(adv.ref, p, y);
    const moved = adv.add(np.sign(g).mul(stepSize));
    return np.clip(np.clip(moved, x.ref.sub(radius.ref), x.add(radius)), 0, 1);
  });
  const start = jit((x, u) => np.clip(x.add(u.mul(2 * eps).sub(eps)), 0, 1));
  const lossOf = (p, adv, y) => {
    const seen = {};
    return [np.mean(crossEntropy(resnet18(p, adv, input, seen), y)), seen];
  };
  const update = jit(({ p, v, running }, adv, y) => {
    const [[loss, seen], g] = valueAndGrad(lossOf, { hasAux: true })(tree.ref(p), adv, y);
    const moved = tree.map((a, b, c) => a.mul(momentum).add(b).add(c.mul(weightDecay)), v, g, tree.ref(p));
    const stepped = tree.map((a, b) => a.sub(b.mul(lr)), p, tree.ref(moved));
    const mixed = tree.map((old, now) => old.mul(1 - MOMENTUM_OF_STATISTICS).add(now.mul(MOMENTUM_OF_STATISTICS)), running, seen);
    return [{ p: stepped, v: moved, running: mixed }, loss];
  });

  const p = Object.fromEntries(Object.entries(parameters).map(([name, t]) => [name, np.array(t.values).reshape(t.shape)]));
  const norms = Object.keys(p).filter(name => /bn\d?\.weight$/.test(name));
  const statistics = name => ({ mean: np.zerosLike(p[name].ref), variance: np.onesLike(p[name].ref) });
  let state = {
    v: tree.map(a => np.zerosLike(a), tree.ref(p)),
    running: Object.fromEntries(norms.map(name => [name.replace('.weight', ''), statistics(name)])),
    p,
  };
  const x = np.array(images.values).reshape(images.shape);
  const y = nn.oneHot(np.array(labels, { dtype: np.int32 }), classes);
  const [ball, comparedBall] = [np.array(eps), np.array(comparedEps)];
  let draws = 0;

  /** @returns the loss, on the device */
  const step = (first, radius, iterations) => {
    let adv = first;
    for (let i = 0; i < iterations; i++) adv = perturb(tree.ref(state.p), x.ref, adv, y.ref, radius.ref);
    const [next, loss] = update(state, adv, y.ref);
    state = next;
    return loss;
  };
  const randomStart = () => start(x.ref, random.uniform(random.key(++draws), images.shape));

  const begun = performance.now();
  const losses = [await step(x.ref, comparedBall, comparedSteps).jsAsync()];
  await blockUntilReady(state);
  const firstStepSeconds = (performance.now() - begun) / 1000;
  losses.push(await step(x.ref, comparedBall, comparedSteps).jsAsync());
  return {
    passes: {
      async step(runs) {
        for (let i = 0; i < runs; i++) step(randomStart(), ball, steps).dispose();
        await blockUntilReady(state);
      },
    },
    results: { losses, firstStepSeconds },
  };
}
