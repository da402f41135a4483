/** jax-js: convolutions, train-mode batch norm, and a PGD training step, each under `jit`. An array is spent where it is used; `ref` keeps it. */
import { blockUntilReady, defaultDevice, grad, init, jit, lax, numpy as np, tree, valueAndGrad } from '@jax-js/jax';
import { batchNorm, same } from './jax-resnet.js';
import { trainingStep } from './jax-step.js';
import { sampleOf } from './sample.js';

export async function open() {
  if (!(await init('webgpu')).includes('webgpu')) throw new Error('it finds no WebGPU adapter');
  defaultDevice('webgpu');
}

/** [N, C, H, W] from the values of the parent. */
const arrayOf = ({ values, shape }) => np.array(values).reshape(shape);

/** Runs a function `runs` times and waits for the last; results are a tree. */
async function repeat(runs, once) {
  for (let i = 0; i < runs; i++) {
    const results = once();
    if (i === runs - 1) await blockUntilReady(results);
    tree.dispose(results);
  }
}

/** Passes of functions by name, and samples of what each of `compared` gives first. */
async function passesOf(functions, compared) {
  const results = {};
  for (const name of compared) results[name] = sampleOf(await functions[name]()[0].data());
  return {
    passes: Object.fromEntries(Object.entries(functions).map(([name, once]) => [name, runs => repeat(runs, once)])),
    results,
  };
}

/** y = x * w with the output gradient g. The value is kept and g is random, or `jit` would drop the forward pass and broadcast g's loads. */
async function conv({ x: image, w: weights, g: gradient, stride, padding }) {
  const given = [image, weights, gradient].map(arrayOf);
  await blockUntilReady(given);
  const [x, w, g] = given;
  const apply = (a, b) => lax.convGeneralDilated(a, b, [stride, stride], same(padding));
  const product = (a, b, d) => apply(a, b).mul(d).sum();
  const forward = jit(apply);
  const inputGradient = jit(grad(product, { argnums: 0 }));
  const weightGradient = jit(grad(product, { argnums: 1 }));
  const all = jit(valueAndGrad(product, { argnums: [0, 1] }));
  const functions = {
    forward: () => [forward(x.ref, w.ref)],
    inputGradient: () => [inputGradient(x.ref, w.ref, g.ref)],
    weightGradient: () => [weightGradient(x.ref, w.ref, g.ref)],
    all: () => all(x.ref, w.ref, g.ref).flat(),
  };
  return passesOf(functions, ['forward', 'inputGradient', 'weightGradient']);
}

/** y of train-mode batch norm, and its gradients by x, gamma and beta for the output gradient g. */
async function norm({ x: image, gamma: scale, beta: shift, g: gradient }) {
  const given = [image, scale, shift, gradient].map(arrayOf);
  await blockUntilReady(given);
  const [x, gamma, beta, g] = given;
  const apply = (a, s, b) => batchNorm(a, s, b);
  const product = (a, s, b, d) => {
    const y = apply(a, s, b);
    return [y.ref.mul(d).sum(), y];
  };
  const forward = jit(apply);
  const all = jit(valueAndGrad(product, { argnums: [0, 1, 2], hasAux: true }));
  const functions = {
    forward: () => [forward(x.ref, gamma.ref, beta.ref)],
    all: () => {
      const [[value, y], gradients] = all(x.ref, gamma.ref, beta.ref, g.ref);
      return [...gradients, y, value];
    },
  };
  return passesOf(functions, ['forward', 'all']);
}

export const works = { conv, norm, step: trainingStep };
