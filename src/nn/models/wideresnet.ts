/**
 * Wide residual networks WRN-d-k (Zagoruyko and Komodakis 2016, "Wide Residual Networks"): three blocks of (d - 4)/6 pre-activation layers of
 * widths 16k, 32k, 64k, here without dropout, as in adversarial training (Madry et al. 2018).
 */
import * as F from '../../autograd/index.ts';
import { UsageError } from '../../errors.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { type ChannelGroup, Network, type PreActivation, residualGroups } from '../channels.ts';
import { kaimingNormalValues } from '../init.ts';
import { BatchNorm2d, ChannelNorm, Conv2d, Linear, type Maker, Sequential } from '../layers.ts';
import { Module } from '../module.ts';
import type { ModelOptions } from './index.ts';

/** No biases, and He's initialisation, which the reference implementation has in this family alone. */
const plain = { bias: false, init: kaimingNormalValues };

/** Base widths are multiples of it: the first convolution has a quarter of the base width. */
export const wideWidthUnit = 4;

/** y = conv2(relu(bn2(conv1(h)))) + skip, h = relu(bn1(x)); skip is x, or a 1x1 convolution of h where the width changes. */
class WideBlock extends Module {
  readonly bn1: BatchNorm2d;
  readonly conv1: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly convShortcut: Conv2d | undefined;

  constructor(make: Maker, inputs: number, outputs: number, stride: number) {
    super();
    this.bn1 = new BatchNorm2d(make, inputs);
    this.conv1 = new Conv2d(make, inputs, outputs, 3, { stride, padding: 1, ...plain });
    this.bn2 = new BatchNorm2d(make, outputs);
    this.conv2 = new Conv2d(make, outputs, outputs, 3, { padding: 1, ...plain });
    if (inputs !== outputs || stride !== 1) this.convShortcut = new Conv2d(make, inputs, outputs, 1, { stride, ...plain });
  }

  forward(x: Tensor): Tensor {
    const h = this.bn1.relu(x);
    const skip = this.convShortcut ? this.convShortcut.forward(h) : x;
    return F.add(this.conv2.forward(this.bn2.relu(this.conv1.forward(h))), skip);
  }

  layers(): PreActivation {
    const { bn1, bn2, conv1, conv2, convShortcut } = this;
    return { norms: [bn1, bn2], convs: [conv1, conv2], shortcut: convShortcut };
  }
}

/** Layers of one width; a module of its own because the names in checkpoints say `block1.layer.0`. */
class Stage extends Module {
  readonly layer: Sequential;

  constructor(make: Maker, layers: number, inputs: number, outputs: number, stride: number) {
    super();
    const made = Array.from({ length: layers }, (_, i) =>
      i === 0 ? new WideBlock(make, inputs, outputs, stride) : new WideBlock(make, outputs, outputs, 1),
    );
    this.layer = new Sequential(...made);
  }

  forward(x: Tensor): Tensor {
    return this.layer.forward(x);
  }
}

class WideResNet extends Network {
  readonly normalize: ChannelNorm;
  readonly conv1: Conv2d;
  readonly block1: Stage;
  readonly block2: Stage;
  readonly block3: Stage;
  readonly bn1: BatchNorm2d;
  readonly fc: Linear;

  /** `width` 64 is the paper's network, whose first convolution has a quarter of that, 16 channels; other widths scale every layer. */
  constructor(make: Maker, options: ModelOptions) {
    super();
    const { width = 64, depthFactor = 34, widthFactor = 10, classes, channels = 3, mean, std } = options;
    if (depthFactor < 10 || (depthFactor - 4) % 6 !== 0)
      throw new UsageError(`--depth-factor ${depthFactor}: a wideresnet has 6n + 4 layers, such as 10, 16, 28, 34`);
    if (width % wideWidthUnit !== 0)
      throw new UsageError(`--width ${width}: that of a wideresnet is a multiple of ${wideWidthUnit} (64 is the paper's)`);
    const layers = (depthFactor - 4) / 6;
    const first = width / wideWidthUnit;
    const wide = first * widthFactor;
    this.normalize = new ChannelNorm(make, mean, std);
    this.conv1 = new Conv2d(make, channels, first, 3, { padding: 1, ...plain });
    this.block1 = new Stage(make, layers, first, wide, 1);
    this.block2 = new Stage(make, layers, wide, 2 * wide, 2);
    this.block3 = new Stage(make, layers, 2 * wide, 4 * wide, 2);
    this.bn1 = new BatchNorm2d(make, 4 * wide);
    this.fc = new Linear(make, 4 * wide, classes);
    this.fc.bias!.write(new Float32Array(classes));
  }

  /** x [N, C, H, W] in [0, 1] -> logits [N, K]. */
  forward(x: Tensor): Tensor {
    let h = this.conv1.forward(this.normalize.forward(x));
    for (const block of [this.block1, this.block2, this.block3]) h = block.forward(h);
    return this.fc.forward(F.flatten(F.adaptiveAvgPool2d(this.bn1.relu(h))));
  }

  channelGroups(): ChannelGroup[] {
    const blocks = [...this.modules()].flatMap(([, m]) => (m instanceof WideBlock ? [m.layers()] : []));
    return residualGroups(this.conv1, blocks, this.bn1, this.fc);
  }
}

export const wideresnet = (make: Maker, options: ModelOptions) => new WideResNet(make, options);
