/** Which module of a network Grad-CAM looks at. */
import type { Device } from '../../device/index.ts';
import { UsageError } from '../../errors.ts';
import type { Module } from '../../nn/module.ts';
import { featureMaps } from '../../nn/observe.ts';

/** A module that puts out a feature map, and the map's size [C, h, w]. */
export interface ExplainedLayer {
  readonly name: string;
  readonly module: Module;
  readonly map: readonly number[];
}

/** Blocks of the architectures, and in a VGG, which has none, its convolutions and normalisations. */
const blockName = /^(layer\d+\.\d+|block\d+\.layer\.\d+|blocks\.\d+|features\.\d+)$/;

/** Positions along each side that a map needs to say where. */
const LEAST_SIDE = 4;

/**
 * The module of a name. Without one the last block whose map has at least 4x4 positions: of 32x32 images the last of layer4 of a PreActResNet, the last of
 * block3 of a WideResNet, the last normalisation with ReLU before the last but one pooling of a VGG. Of a network whose blocks have other names the
 * last module with such a map.
 * @param shape [C, H, W] of an image @throws UsageError for a name that is none, with those that are
 */
export function explainedLayer(device: Device, model: Module, shape: readonly number[], asked?: string): ExplainedLayer {
  const maps = featureMaps(device, model, shape);
  const names = [...maps.keys()];
  if (asked !== undefined && !maps.has(asked))
    throw new UsageError(`--layer: no module '${asked}' of the network puts out a feature map; these do: ${names.join(', ')}`);
  const known = names.filter(name => blockName.test(name));
  const blocks = known.length > 0 ? known : names;
  const large = blocks.filter(name => Math.min(...maps.get(name)!.slice(1)) >= LEAST_SIDE);
  const name = asked ?? large.at(-1) ?? blocks.at(-1)!;
  return { name, module: new Map(model.modules()).get(name)!, map: maps.get(name)! };
}
