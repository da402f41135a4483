/** The registry of architectures: a model is one file, one row here and its name in names.ts. */
import { UsageError } from '../../errors.ts';
import type { Network } from '../channels.ts';
import type { Maker } from '../layers.ts';
import { type Architecture, architectures } from './names.ts';
import { resnet18, resnet34, resnet50, resnet101, resnet152 } from './preact-resnet.ts';
import { resnet8 } from './small-resnet.ts';
import { vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn } from './vgg.ts';
import { wideresnet } from './wideresnet.ts';

export interface ModelOptions {
  /** Base width; 64 is the published network, and each architecture's default but resnet8's. */
  width?: number;
  /** Depth and widening factor of wideresnet: WRN-34-10 by default. */
  depthFactor?: number;
  widthFactor?: number;
  classes: number;
  /** Channels of the images, 3 by default. */
  channels?: number;
  /** Channel means and deviations of the data, for the normalisation inside the model. */
  mean: readonly number[];
  std: readonly number[];
}

/** How each architecture is made. */
export const models: Readonly<Record<Architecture, (make: Maker, options: ModelOptions) => Network>> = {
  resnet18,
  resnet34,
  resnet50,
  resnet101,
  resnet152,
  vgg11_bn,
  vgg13_bn,
  vgg16_bn,
  vgg19_bn,
  wideresnet,
  resnet8,
};

/** A new model with PyTorch's default initialisation. @throws UsageError for an unknown architecture, naming the known ones */
export function createModel(arch: string, make: Maker, options: ModelOptions): Network {
  const build = Object.hasOwn(models, arch) ? models[arch as Architecture] : undefined;
  if (!build) throw new UsageError(`unknown architecture '${arch}': use ${architectures.join(', ')}`);
  return build(make, options);
}
