/** A pre-activation residual network of three blocks behind a strided first convolution: what the demo trains in a minute without a GPU. */
import * as F from '../../autograd/index.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { type ChannelGroup, Network, residualGroups } from '../channels.ts';
import { BatchNorm2d, ChannelNorm, Conv2d, Linear, type Maker, Sequential } from '../layers.ts';
import type { ModelOptions } from './index.ts';
import { PreActBlock } from './preact-resnet.ts';

/** Widths w, w, 2w, 4w at half, half, a quarter and an eighth of the image's size. */
class SmallResNet extends Network {
  readonly normalize: ChannelNorm;
  readonly conv1: Conv2d;
  readonly blocks: Sequential;
  readonly bn: BatchNorm2d;
  readonly linear: Linear;

  constructor(make: Maker, { width = 16, classes, channels = 3, mean, std }: ModelOptions) {
    super();
    this.normalize = new ChannelNorm(make, mean, std);
    this.conv1 = new Conv2d(make, channels, width, 3, { stride: 2, padding: 1, bias: false });
    this.blocks = new Sequential(
      new PreActBlock(make, width, width, 1),
      new PreActBlock(make, width, 2 * width, 2),
      new PreActBlock(make, 2 * width, 4 * width, 2),
    );
    this.bn = new BatchNorm2d(make, 4 * width);
    this.linear = new Linear(make, 4 * width, classes);
  }

  forward(x: Tensor): Tensor {
    const h = this.blocks.forward(this.conv1.forward(this.normalize.forward(x)));
    return this.linear.forward(F.flatten(F.adaptiveAvgPool2d(this.bn.relu(h))));
  }

  channelGroups(): ChannelGroup[] {
    const blocks = [...this.modules()].flatMap(([, m]) => (m instanceof PreActBlock ? [m.layers()] : []));
    return residualGroups(this.conv1, blocks, this.bn, this.linear);
  }
}

export const resnet8 = (make: Maker, options: ModelOptions) => new SmallResNet(make, options);
