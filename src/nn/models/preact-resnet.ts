/**
 * Pre-activation ResNets for small images (He et al. 2016, "Identity Mappings in Deep Residual Networks"): normalise, ReLU and convolve, twice
 * a basic block and three times a bottleneck; four stages whose inner widths are w, 2w, 4w, 8w.
 */
import * as F from '../../autograd/index.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { type ChannelGroup, Network, type PreActivation, residualGroups } from '../channels.ts';
import { BatchNorm2d, ChannelNorm, Conv2d, Linear, type Maker, Sequential } from '../layers.ts';
import { Module } from '../module.ts';
import type { ModelOptions } from './index.ts';

/** The 1x1 convolution of a shortcut, where the shape changes. */
function shortcut(make: Maker, inputs: number, outputs: number, stride: number): Sequential | undefined {
  if (stride === 1 && inputs === outputs) return undefined;
  return new Sequential(new Conv2d(make, inputs, outputs, 1, { stride, bias: false }));
}

/** y = conv2(relu(bn2(conv1(h)))) + skip, h = relu(bn1(x)); skip is x, or a 1x1 convolution of h where the shape changes. */
export class PreActBlock extends Module {
  static readonly expansion: number = 1;
  readonly bn1: BatchNorm2d;
  readonly conv1: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly shortcut: Sequential | undefined;

  constructor(make: Maker, inputs: number, width: number, stride: number) {
    super();
    this.bn1 = new BatchNorm2d(make, inputs);
    this.conv1 = new Conv2d(make, inputs, width, 3, { stride, padding: 1, bias: false });
    this.bn2 = new BatchNorm2d(make, width);
    this.conv2 = new Conv2d(make, width, width, 3, { padding: 1, bias: false });
    this.shortcut = shortcut(make, inputs, width, stride);
  }

  forward(x: Tensor): Tensor {
    const h = this.bn1.relu(x);
    const skip = this.shortcut ? this.shortcut.forward(h) : x;
    return F.add(this.conv2.forward(this.bn2.relu(this.conv1.forward(h))), skip);
  }

  layers(): PreActivation {
    const { bn1, bn2, conv1, conv2 } = this;
    return { norms: [bn1, bn2], convs: [conv1, conv2], shortcut: this.shortcut?.[0] as Conv2d | undefined };
  }
}

/** y = conv3(relu(bn3(conv2(relu(bn2(conv1(h))))))) + skip with 1x1, 3x3 (strided) and 1x1 kernels; the last widens to four times `width`. */
export class PreActBottleneck extends Module {
  static readonly expansion: number = 4;
  readonly bn1: BatchNorm2d;
  readonly conv1: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn3: BatchNorm2d;
  readonly conv3: Conv2d;
  readonly shortcut: Sequential | undefined;

  constructor(make: Maker, inputs: number, width: number, stride: number) {
    super();
    const outputs = PreActBottleneck.expansion * width;
    this.bn1 = new BatchNorm2d(make, inputs);
    this.conv1 = new Conv2d(make, inputs, width, 1, { bias: false });
    this.bn2 = new BatchNorm2d(make, width);
    this.conv2 = new Conv2d(make, width, width, 3, { stride, padding: 1, bias: false });
    this.bn3 = new BatchNorm2d(make, width);
    this.conv3 = new Conv2d(make, width, outputs, 1, { bias: false });
    this.shortcut = shortcut(make, inputs, outputs, stride);
  }

  forward(x: Tensor): Tensor {
    const h = this.bn1.relu(x);
    const skip = this.shortcut ? this.shortcut.forward(h) : x;
    const inner = this.conv2.forward(this.bn2.relu(this.conv1.forward(h)));
    return F.add(this.conv3.forward(this.bn3.relu(inner)), skip);
  }

  layers(): PreActivation {
    const { bn1, bn2, bn3, conv1, conv2, conv3 } = this;
    return { norms: [bn1, bn2, bn3], convs: [conv1, conv2, conv3], shortcut: this.shortcut?.[0] as Conv2d | undefined };
  }
}

export class PreActResNet extends Network {
  readonly normalize: ChannelNorm;
  readonly conv1: Conv2d;
  readonly layer1: Sequential;
  readonly layer2: Sequential;
  readonly layer3: Sequential;
  readonly layer4: Sequential;
  readonly bn: BatchNorm2d;
  readonly linear: Linear;

  /** @param blocks blocks of each of the four stages */
  constructor(
    make: Maker,
    Block: typeof PreActBlock | typeof PreActBottleneck,
    blocks: readonly number[],
    { width = 64, classes, channels = 3, mean, std }: ModelOptions,
  ) {
    super();
    let inputs = width;
    const stage = (index: number, stride: number): Sequential => {
      const made = Array.from({ length: blocks[index] }, (_, i) => {
        const block = new Block(make, inputs, width << index, i === 0 ? stride : 1);
        inputs = (width << index) * Block.expansion;
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

  channelGroups(): ChannelGroup[] {
    const blocks = [...this.modules()].flatMap(([, m]) =>
      m instanceof PreActBlock || m instanceof PreActBottleneck ? [m.layers()] : [],
    );
    return residualGroups(this.conv1, blocks, this.bn, this.linear);
  }
}

const family =
  (Block: typeof PreActBlock | typeof PreActBottleneck, blocks: readonly number[]) => (make: Maker, options: ModelOptions) =>
    new PreActResNet(make, Block, blocks, options);

export const resnet18 = family(PreActBlock, [2, 2, 2, 2]);
export const resnet34 = family(PreActBlock, [3, 4, 6, 3]);
export const resnet50 = family(PreActBottleneck, [3, 4, 6, 3]);
export const resnet101 = family(PreActBottleneck, [3, 4, 23, 3]);
export const resnet152 = family(PreActBottleneck, [3, 8, 36, 3]);
