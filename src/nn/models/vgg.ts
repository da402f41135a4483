/**
 * VGG with batch normalisation (Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition", table 1) for
 * small images: five stages of 3x3 convolutions of widths w, 2w, 4w, 8w, 8w, each followed by a halving, and one linear layer.
 */
import * as F from '../../autograd/index.ts';
import { UsageError } from '../../errors.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { type ChannelGroup, Network } from '../channels.ts';
import { BatchNorm2d, ChannelNorm, Conv2d, Linear, type Maker } from '../layers.ts';
import { Module } from '../module.ts';
import type { ModelOptions } from './index.ts';

/**
 * The stages. Modules are named by their position in the list [convolution, normalisation, ReLU, ..., pooling, ...]; ReLU and pooling hold
 * no state, and ReLU runs inside the normalisation's kernel.
 */
class Features extends Module {
  [position: number]: Module;
  private readonly steps: ((x: Tensor) => Tensor)[] = [];

  /** @param stages output channels of every convolution, stage by stage */
  constructor(make: Maker, channels: number, stages: readonly (readonly number[])[]) {
    super();
    let inputs = channels;
    let position = 0;
    for (const stage of stages) {
      for (const outputs of stage) {
        const conv = new Conv2d(make, inputs, outputs, 3, { padding: 1 });
        const bn = new BatchNorm2d(make, outputs);
        this[position] = conv;
        this[position + 1] = bn;
        this.steps.push(x => bn.relu(conv.forward(x)));
        inputs = outputs;
        position += 3;
      }
      this.steps.push(x => F.maxPool2d(x, { kernel: 2, stride: 2 }));
      position++;
    }
  }

  forward(x: Tensor): Tensor {
    return this.steps.reduce((h, step) => step(h), x);
  }
}

class Vgg extends Network {
  readonly normalize: ChannelNorm;
  readonly features: Features;
  readonly classifier: Linear;

  /** @param convolutions how many each of the five stages has */
  constructor(make: Maker, convolutions: readonly number[], { width = 64, classes, channels = 3, mean, std }: ModelOptions) {
    super();
    const stages = convolutions.map((count, i) => Array<number>(count).fill(width << Math.min(i, 3)));
    this.normalize = new ChannelNorm(make, mean, std);
    this.features = new Features(make, channels, stages);
    this.classifier = new Linear(make, 8 * width, classes);
  }

  /** x [N, C, H, W] in [0, 1], H and W at least 32 -> logits [N, K]. What the five halvings leave is averaged: 1x1 of 32x32, 2x2 of 64x64. */
  forward(x: Tensor): Tensor {
    const [h, w] = x.shape.slice(2);
    if (Math.min(h, w) < 32)
      throw new UsageError(`a vgg halves images five times: ${h}x${w} pixels are too few, 32x32 the least`);
    const features = this.features.forward(this.normalize.forward(x));
    return this.classifier.forward(F.flatten(F.adaptiveAvgPool2d(features)));
  }

  channelGroups(): ChannelGroup[] {
    const layers = [...this.features.modules()].map(([, m]) => m);
    const convs = layers.filter(m => m instanceof Conv2d);
    const norms = layers.filter(m => m instanceof BatchNorm2d);
    return convs.map((conv, i) => ({ writers: [conv], norms: [norms[i]], readers: [convs[i + 1] ?? this.classifier] }));
  }
}

const family = (convolutions: readonly number[]) => (make: Maker, options: ModelOptions) => new Vgg(make, convolutions, options);

export const vgg11_bn = family([1, 1, 2, 2, 2]);
export const vgg13_bn = family([2, 2, 2, 2, 2]);
export const vgg16_bn = family([2, 2, 3, 3, 3]);
export const vgg19_bn = family([2, 2, 4, 4, 4]);
