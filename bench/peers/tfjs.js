/**
 * TensorFlow.js on WebGPU: convolutions, train-mode batch norm, and a PGD training step. Its kernels take images as NHWC and weights as HWIO,
 * so arrays are turned on their way in and out, apart from what is timed.
 */
import { sampleOf } from './sample.js';
import { loadTfjs } from './tfjs-bundle.js';
import { fromPlanes, HWIO, NCHW, NHWC, OIHW } from './tfjs-layout.js';
import { batchNorm } from './tfjs-resnet.js';
import { trainingStep } from './tfjs-step.js';

let tf;

export async function open() {
  tf = await loadTfjs();
}

/** Waits for everything launched. The library has no call for it except reading a tensor, which would also be timed. */
async function finished() {
  const backend = tf.backend();
  backend.endComputePassEncoder();
  if (backend.commandEncoder) backend.submitQueue();
  await backend.queue.onSubmittedWorkDone();
}

async function repeat(runs, once) {
  for (let i = 0; i < runs; i++) tf.dispose(once());
  await finished();
}

/** Passes of functions by name, and samples of what each of `compared` gives first, turned by the order that it names. */
async function passesOf(functions, compared) {
  const results = {};
  for (const [name, order] of Object.entries(compared)) {
    const given = functions[name]();
    const turned = tf.transpose(given[0], order);
    results[name] = sampleOf(await turned.data());
    tf.dispose([given, turned]);
  }
  return {
    passes: Object.fromEntries(Object.entries(functions).map(([name, once]) => [name, runs => repeat(runs, once)])),
    results,
  };
}

/** y = x * w with the output gradient g. */
async function conv({ x: image, w: weights, g: gradient, stride, padding }) {
  const [x, w, g] = [fromPlanes(tf, image, NHWC), fromPlanes(tf, weights, HWIO), fromPlanes(tf, gradient, NHWC)];
  const attributes = { strides: [stride, stride], pad: padding, dataFormat: 'NHWC' };
  const apply = (a, b) => tf.conv2d(a, b, stride, padding);
  const all = tf.valueAndGrads((a, b) => apply(a, b).mul(g).sum());
  // one gradient alone: the kernels that the gradient of conv2d runs, since tf.grad would run the forward pass too
  const kernel = (name, inputs, more) => [tf.engine().runKernel(name, inputs, { ...attributes, ...more })];
  const functions = {
    forward: () => [apply(x, w)],
    inputGradient: () => kernel('Conv2DBackpropInput', { dy: g, filter: w }, { inputShape: x.shape }),
    weightGradient: () => kernel('Conv2DBackpropFilter', { x, dy: g }, { filterShape: w.shape }),
    all: () => {
      const { value, grads } = all([x, w]);
      return [value, ...grads];
    },
  };
  return passesOf(functions, { forward: NCHW, inputGradient: NCHW, weightGradient: OIHW });
}

/** y of train-mode batch norm, and its gradients by x, gamma and beta for the output gradient g. */
async function norm({ x: image, gamma: scale, beta: shift, g: gradient }) {
  const [x, g] = [fromPlanes(tf, image, NHWC), fromPlanes(tf, gradient, NHWC)];
  const [gamma, beta] = [scale, shift].map(t => tf.tensor(t.values, t.shape));
  const apply = (a, s, b) => batchNorm(tf, a, s, b);
  const all = tf.valueAndGrads((a, s, b) => apply(a, s, b).mul(g).sum());
  const functions = {
    forward: () => [tf.tidy(() => apply(x, gamma, beta))],
    all: () => {
      const { value, grads } = all([x, gamma, beta]);
      return [...grads, value];
    },
  };
  return passesOf(functions, { forward: NCHW, all: NCHW });
}

export const works = { conv, norm, step: given => trainingStep(tf, finished, given) };
