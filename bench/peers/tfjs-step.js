/** A PGD training step of PreActResNet-18 in TensorFlow.js: `tf.grad` for the attack, `tf.variableGrads` and its momentum optimiser for the update. */
import { fromPlanes, HWIO, NHWC } from './tfjs-layout.js';
import { resnet18 } from './tfjs-resnet.js';

const MOMENTUM_OF_STATISTICS = 0.1;

/** Steps on one batch, as src/cli/bench/step-peers.ts describes them; the first two, which are compared, give the results. */
export async function trainingStep(tf, finished, { parameters, images, labels, classes, attack, optimiser, input }) {
  const { eps, stepSize, steps, comparedSteps, comparedEps } = attack;
  const { lr, momentum, weightDecay } = optimiser;

  const variable = ([name, t]) => {
    const order = t.shape.length === 4 ? HWIO : t.shape.map((_, d) => t.shape.length - 1 - d);
    const value = fromPlanes(tf, t, order);
    return [name, tf.variable(value, true, name)];
  };
  const p = Object.fromEntries(Object.entries(parameters).map(variable));
  const x = fromPlanes(tf, images, NHWC);
  const y = tf.tidy(() => tf.oneHot(tf.tensor1d(labels, 'int32'), classes).toFloat());
  const ballOf = radius => tf.tidy(() => [x.sub(radius).maximum(0), x.add(radius).minimum(1)]);
  const [ball, comparedBall] = [ballOf(eps), ballOf(comparedEps)];
  const norms = Object.keys(p).filter(name => /bn\d?\.weight$/.test(name));
  const statistics = name => ({ mean: tf.zerosLike(p[name]), variance: tf.onesLike(p[name]) });
  const running = Object.fromEntries(norms.map(name => [name.replace('.weight', ''), statistics(name)]));
  const sgd = tf.train.momentum(lr, momentum);

  const crossEntropy = logits => tf.losses.softmaxCrossEntropy(y, logits);
  const gradient = tf.grad(a => crossEntropy(resnet18(tf, p, a, input)));
  const perturb = (adv, [low, high]) => tf.tidy(() => adv.add(gradient(adv).sign().mul(stepSize)).maximum(low).minimum(high));
  const mix = (old, now) => {
    const mixed = tf.tidy(() => old.mul(1 - MOMENTUM_OF_STATISTICS).add(now.mul(MOMENTUM_OF_STATISTICS)));
    tf.dispose([old, now]);
    return mixed;
  };

  /** Spends the first image. @returns the loss, on the device */
  const step = (first, ball, iterations) => {
    let adv = first;
    for (let i = 0; i < iterations; i++) {
      const next = perturb(adv, ball);
      adv.dispose();
      adv = next;
    }
    let seen;
    const { value, grads } = tf.variableGrads(() => {
      seen = {};
      return crossEntropy(resnet18(tf, p, adv, input, seen));
    });
    const decayed = tf.tidy(() =>
      Object.fromEntries(Object.keys(grads).map(name => [name, grads[name].add(p[name].mul(weightDecay))])),
    );
    sgd.applyGradients(decayed);
    for (const [name, { mean, variance }] of Object.entries(seen)) {
      running[name] = { mean: mix(running[name].mean, mean), variance: mix(running[name].variance, variance) };
    }
    tf.dispose([adv, grads, decayed]);
    return value;
  };
  const randomStart = () => tf.tidy(() => x.add(tf.randomUniform(x.shape, -eps, eps)).clipByValue(0, 1));
  const lossOf = async first => {
    const value = step(first, comparedBall, comparedSteps);
    const [loss] = await value.data();
    value.dispose();
    return loss;
  };

  const begun = performance.now();
  const losses = [await lossOf(x.clone())];
  await finished();
  const firstStepSeconds = (performance.now() - begun) / 1000;
  losses.push(await lossOf(x.clone()));
  return {
    passes: {
      async step(runs) {
        for (let i = 0; i < runs; i++) step(randomStart(), ball, steps).dispose();
        await finished();
      },
    },
    results: { losses, firstStepSeconds },
  };
}
