/**
 * Pre-activation ResNet for small images (He et al. 2016, "Identity Mappings in Deep Residual Networks"), 18 layers: normalise, ReLU and convolve,
 * twice a block; four stages of widths w, 2w, 4w, 8w.
 */
import * as F from '../../autograd/index.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { BatchNorm2d, ChannelNorm, Conv2d, Linear, type Maker, Sequential } from '../layers.ts';
import { Module } from '../module.ts';
import type { ModelOptions } from './index.ts';

/** y = conv2(relu(bn2(conv1(h)))) + skip, h = relu(bn1(x)); skip is x, or a 1x1 convolution of h where the shape changes. */
export class PreActBlock extends Module {
  readonly bn1: BatchNorm2d;
  readonly conv1: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly shortcut?: Sequential;

  constructor(make: Maker, inputs: number, outputs: number, stride: number) {
    super();
    this.bn1 = new BatchNorm2d(make, inputs);
    this.conv1 = new Conv2d(make, inputs, outputs, 3, { stride, padding: 1, bias: false });
    this.bn2 = new BatchNorm2d(make, outputs);
    this.conv2 = new Conv2d(make, outputs, outputs, 3, { padding: 1, bias: false });
    if (stride !== 1 || inputs !== outputs)
      this.shortcut = new Sequential(new Conv2d(make, inputs, outputs, 1, { stride, bias: false }));
  }

  forward(x: Tensor): Tensor {
    const h = this.bn1.relu(x);
    const skip = this.shortcut ? this.shortcut.forward(h) : x;
    return F.add(this.conv2.forward(this.bn2.relu(this.conv1.forward(h))), skip);
  }
}

export class PreActResNet extends Module {
  readonly normalize: ChannelNorm;
  readonly conv1: Conv2d;
  readonly layer1: Sequential;
  readonly layer2: Sequential;
  readonly layer3: Sequential;
  readonly layer4: Sequential;
  readonly bn: BatchNorm2d;
  readonly linear: Linear;

  /** @param blocks blocks of each of the four stages */
  constructor(make: Maker, blocks: readonly number[], { width = 64, classes, channels = 3, mean, std }: ModelOptions) {
    super();
    let inputs = width;
    const stage = (index: number, stride: number): Sequential => {
      const outputs = width << index;
      const made = Array.from({ length: blocks[index] }, (_, i) => {
        const block = new PreActBlock(make, inputs, outputs, i === 0 ? stride : 1);
        inputs = outputs;
        return block;
      });
      return new Sequential(...made);
    };
    this.normalize = new ChannelNorm(make, mean, std);
    this.conv1 = new Conv2d(make, channels, width, 3, { padding: 1, bias: false });
    this.layer1 = stage(0, 1);
    this.layer2 = stage(1, 2);
    this.layer3 = stage(2, 2);
    this.layer4 = stage(3, 2);
    this.bn = new BatchNorm2d(make, inputs);
    this.linear = new Linear(make, inputs, classes);
  }

  /** x [N, C, H, W] in [0, 1] -> logits [N, K]. */
  forward(x: Tensor): Tensor {
    let h = this.conv1.forward(this.normalize.forward(x));
    for (const stage of [this.layer1, this.layer2, this.layer3, this.layer4]) h = stage.forward(h);
    return this.linear.forward(F.flatten(F.adaptiveAvgPool2d(this.bn.relu(h))));
  }
}

export const resnet18 = (make: Maker, options: ModelOptions) => new PreActResNet(make, [2, 2, 2, 2], options);
