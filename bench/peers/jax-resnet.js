/**
 * PreActResNet-18 in jax-js, for images of 32 x 32. Parameters are a flat object of arrays under PyTorch's names; every array is used once, as
 * the library's reference counts ask for.
 */
import { lax, nn, numpy as np } from '@jax-js/jax';

const EPS = 1e-5;

/** The same padding on all four sides. */
export const same = padding => [
  [padding, padding],
  [padding, padding],
];

const conv = (x, w, stride, padding) => lax.convGeneralDilated(x, w, [stride, stride], same(padding));

/**
 * Train-mode batch norm of [N, C, H, W] over N, H and W.
 * @param seen takes the batch's mean and variance, each [C], where running statistics are wanted
 */
export function batchNorm(x, gamma, beta, seen) {
  const [n, c, h, w] = x.shape;
  const channel = [1, c, 1, 1];
  const mean = np.mean(x.ref, [0, 2, 3], { keepdims: true });
  if (seen) seen.mean = mean.ref.reshape([c]);
  const centred = x.sub(mean);
  const variance = np.mean(np.square(centred.ref), [0, 2, 3], { keepdims: true });
  // PyTorch keeps the unbiased variance
  if (seen) seen.variance = variance.ref.reshape([c]).mul((n * h * w) / (n * h * w - 1));
  const scale = np.reciprocal(np.sqrt(variance.add(EPS))).mul(gamma.reshape(channel));
  return centred.mul(scale).add(beta.reshape(channel));
}

/** relu(bn(x)); `seen` takes the statistics under the layer's name. */
function normRelu(p, name, x, seen) {
  const statistics = seen && (seen[name] = {});
  return nn.relu(batchNorm(x, p[`${name}.weight`], p[`${name}.bias`], statistics));
}

/** conv2(relu(bn2(conv1(h)))) + skip, h = relu(bn1(x)); skip is x, or a 1x1 convolution of h where the shape changes. */
function block(p, name, x, stride, seen) {
  const shortcut = p[`${name}.shortcut.0.weight`];
  const skip = shortcut ? undefined : x.ref;
  const h = normRelu(p, `${name}.bn1`, x, seen);
  const beside = skip ?? conv(h.ref, shortcut, stride, 0);
  const inner = normRelu(p, `${name}.bn2`, conv(h, p[`${name}.conv1.weight`], stride, 1), seen);
  return conv(inner, p[`${name}.conv2.weight`], 1, 1).add(beside);
}

/**
 * x [N, 3, 32, 32] in [0, 1] -> logits [N, 10].
 * @param input mean and std of the images' channels, plain numbers @param seen takes the batch statistics by layer
 */
export function resnet18(p, x, { mean, std }, seen) {
  let h = conv(x.sub(mean).mul(1 / std), p['conv1.weight'], 1, 1);
  for (let stage = 1; stage <= 4; stage++)
    for (let i = 0; i < 2; i++) h = block(p, `layer${stage}.${i}`, h, stage > 1 && i === 0 ? 2 : 1, seen);
  const features = np.mean(normRelu(p, 'bn', h, seen), [2, 3]);
  return np.matmul(features, np.transpose(p['linear.weight'])).add(p['linear.bias']);
}
