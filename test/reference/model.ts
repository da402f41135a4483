/**
 * PreActResNet-18 (He et al., "Identity mappings in deep residual networks", ECCV 2016, in the form used for CIFAR) in float64, from a
 * PyTorch state dict. Channel normalisation is the first step, so images are raw pixels in [0, 1].
 *
 *   block: h = relu(bn1(x)); y = conv2(relu(bn2(conv1(h)))) + (shortcut(h) if shapes differ, else x)
 *   model: linear(mean over space of relu(bn(layer4(layer3(layer2(layer1(conv1(normalised x))))))))
 *
 * Every part returns its output and the function that takes the output's gradient back, which leaves parameter gradients in `grads`.
 */
import { type Ref, ref, zip } from './array.ts';
import { type ConvOptions, conv2d } from './conv.ts';
import { add, div, sub } from './elementwise.ts';
import { matmul } from './linalg.ts';
import { batchNormEval, batchNormTrain, updateRunning } from './norm.ts';
import * as reduce from './reduce.ts';

/** Arrays by PyTorch's names (`layer1.0.bn1.weight`, ...). */
export type State = Record<string, Ref>;

export interface Pass {
  /** [N, classes] */
  logits: Ref;
  /** Running statistics after this forward pass; in eval mode those of the state. */
  running: State;
  /** Gradients by the images and by every parameter. */
  backward(gradLogits: Ref): { x: Ref; parameters: State };
}

interface Part {
  y: Ref;
  back(gradY: Ref): Ref;
}

const cifar10 = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };

/** One forward pass of images x [N, 3, H, W]. Train mode normalises by the batch and moves the running statistics. */
export function preActResNet18(state: State, x: Ref, train: boolean, channels = cifar10): Pass {
  const grads: State = {};
  const running: State = {};

  const conv = (name: string, input: Ref, stride: number, padding: number): Part => {
    const weight = state[`${name}.weight`];
    const options: ConvOptions = { stride: [stride, stride], padding: [padding, padding], dilation: [1, 1], groups: 1 };
    return {
      y: conv2d.forward(input, weight, options),
      back: gradY => {
        const [dx, dw] = conv2d.backward(input, weight, options, gradY);
        grads[`${name}.weight`] = dw;
        return dx;
      },
    };
  };

  const normRelu = (name: string, input: Ref): Part => {
    const [gamma, beta] = [state[`${name}.weight`], state[`${name}.bias`]];
    const old = { mean: state[`${name}.running_mean`], variance: state[`${name}.running_var`] };
    const after = train ? updateRunning(input, old) : old;
    running[`${name}.running_mean`] = after.mean;
    running[`${name}.running_var`] = after.variance;
    const options = { relu: true };
    return {
      y: train ? batchNormTrain.forward(input, gamma, beta, options) : batchNormEval.forward(input, gamma, beta, old, options),
      back: gradY => {
        const [dx, dGamma, dBeta] = train
          ? batchNormTrain.backward(input, gamma, beta, options, gradY)
          : batchNormEval.backward(input, gamma, beta, old, options, gradY);
        grads[`${name}.weight`] = dGamma;
        grads[`${name}.bias`] = dBeta;
        return dx;
      },
    };
  };

  const block = (name: string, input: Ref, stride: number): Part => {
    const bn1 = normRelu(`${name}.bn1`, input);
    const conv1 = conv(`${name}.conv1`, bn1.y, stride, 1);
    const bn2 = normRelu(`${name}.bn2`, conv1.y);
    const conv2 = conv(`${name}.conv2`, bn2.y, 1, 1);
    const shortcut = state[`${name}.shortcut.0.weight`] ? conv(`${name}.shortcut.0`, bn1.y, stride, 0) : undefined;
    return {
      y: sum(conv2.y, shortcut ? shortcut.y : input),
      back: gradY => {
        const through = conv1.back(bn2.back(conv2.back(gradY)));
        if (shortcut) return bn1.back(sum(through, shortcut.back(gradY)));
        return sum(bn1.back(through), gradY);
      },
    };
  };

  const head = (input: Ref): Part => {
    const [weight, bias] = [state['linear.weight'], state['linear.bias']];
    const features = reduce.mean.forward(input, { axes: [2, 3] });
    const logits = matmul.forward(features, weight, { transposeB: true });
    return {
      y: add.forward(logits, bias),
      back: gradY => {
        const [gradLogits, dBias] = add.backward(logits, bias, gradY);
        const [dFeatures, dWeight] = matmul.backward(features, weight, { transposeB: true }, gradLogits);
        grads['linear.weight'] = dWeight;
        grads['linear.bias'] = dBias;
        return reduce.mean.backward(input, { axes: [2, 3] }, dFeatures);
      },
    };
  };

  const [mean, std] = [channels.mean, channels.std].map(values => ref([1, 3, 1, 1], values));
  const normalised = div.forward(sub.forward(x, mean), std);
  const parts: Part[] = [];
  const push = (make: (input: Ref) => Part) => parts.push(make(parts.length === 0 ? normalised : parts[parts.length - 1].y));
  push(input => conv('conv1', input, 1, 1));
  for (const [stage, stride] of [1, 2, 2, 2].entries()) {
    push(input => block(`layer${stage + 1}.0`, input, stride));
    push(input => block(`layer${stage + 1}.1`, input, 1));
  }
  push(input => normRelu('bn', input));
  push(head);

  return {
    logits: parts[parts.length - 1].y,
    running,
    backward: gradLogits => {
      const gradNormalised = parts.reduceRight((gradY, part) => part.back(gradY), gradLogits);
      const [dx] = div.backward(sub.forward(x, mean), std, gradNormalised);
      return { x: dx, parameters: grads };
    },
  };
}

const sum = (a: Ref, b: Ref) => zip(a, b, (left, right) => left + right);
