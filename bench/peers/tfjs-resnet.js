/** PreActResNet-18 in TensorFlow.js, for images of 32 x 32 as NHWC. Parameters are an object of tensors under PyTorch's names, kernels HWIO. */

const EPS = 1e-5;

/**
 * Train-mode batch norm of [N, H, W, C], as the library's own layer computes it.
 * @param seen takes the batch's mean and variance, kept, where running statistics are wanted
 */
export function batchNorm(tf, x, gamma, beta, seen) {
  const { mean, variance } = tf.moments(x, [0, 1, 2]);
  if (seen) {
    const m = x.size / gamma.size;
    seen.mean = tf.keep(mean.clone());
    // PyTorch keeps the unbiased variance
    seen.variance = tf.keep(variance.mul(m / (m - 1)));
  }
  return tf.batchNorm(x, mean, variance, beta, gamma, EPS);
}

/**
 * x [N, 32, 32, 3] in [0, 1] -> logits [N, 10].
 * @param input mean and std of the images' channels, plain numbers @param seen takes the batch statistics by layer
 */
export function resnet18(tf, p, x, { mean, std }, seen) {
  const normRelu = (name, h) => {
    const statistics = seen && (seen[name] = {});
    return tf.relu(batchNorm(tf, h, p[`${name}.weight`], p[`${name}.bias`], statistics));
  };
  // conv2(relu(bn2(conv1(h)))) + skip, h = relu(bn1(x)); skip is x, or a 1x1 convolution of h where the shape changes
  const block = (name, inputs, stride) => {
    const h = normRelu(`${name}.bn1`, inputs);
    const shortcut = p[`${name}.shortcut.0.weight`];
    const skip = shortcut ? tf.conv2d(h, shortcut, stride, 0) : inputs;
    const inner = normRelu(`${name}.bn2`, tf.conv2d(h, p[`${name}.conv1.weight`], stride, 1));
    return tf.conv2d(inner, p[`${name}.conv2.weight`], 1, 1).add(skip);
  };
  let h = tf.conv2d(x.sub(mean).div(std), p['conv1.weight'], 1, 1);
  for (let stage = 1; stage <= 4; stage++)
    for (let i = 0; i < 2; i++) h = block(`layer${stage}.${i}`, h, stage > 1 && i === 0 ? 2 : 1);
  const features = normRelu('bn', h).mean([1, 2]);
  return features.matMul(p['linear.weight']).add(p['linear.bias']);
}
