/** The network of a configuration, on the device. */
import type { DataSet } from '../data/index.ts';
import type { Device } from '../device/index.ts';
import { type Network, setWidths } from '../nn/channels.ts';
import { layerMacs } from '../nn/macs.ts';
import { createModel } from '../nn/models/index.ts';
import { wideWidthUnit } from '../nn/models/wideresnet.ts';
import type { Module } from '../nn/module.ts';
import { maskedParameters } from '../sparse/masks.ts';
import { thinWidth } from '../sparse/small-dense.ts';
import { Random, Stream } from '../tensor/philox.ts';
import { assertNetwork, type Origin } from './checkpoint.ts';
import type { TrainConfig } from './config.ts';
import { modelOptions, networkIdentity } from './model.ts';

export interface MadeNetwork {
  readonly model: Network;
  /** Base width: that of the configuration, or with `--scale` the thinner one. */
  readonly width: number;
  /**
   * What a pruned network was with all its channels: maskable weights, and multiply-adds of one image by the name of the weight.
   */
  readonly whole?: { readonly weights: number; readonly macs: ReadonlyMap<string, number> };
}

/**
 * A new network with the initial weights of the seed.
 * @param origin the file whose weights it is to take: where its channels were pruned, those of the network are
 * @throws UsageError for an architecture or a `--scale` that cannot be had; FileError if the file is of another network
 */
export function createNetwork(
  device: Device,
  data: DataSet,
  config: Pick<TrainConfig, 'arch' | 'width' | 'depthFactor' | 'widthFactor' | 'scale' | 'seed'>,
  origin?: Origin | undefined,
): MadeNetwork {
  const { arch, width, scale, seed } = config;
  const build = (w: number) =>
    createModel(arch, { device, random: new Random(seed, Stream.init) }, modelOptions({ ...config, width: w }, data));
  const weights = (w: number) => {
    const model = build(w);
    const count = maskableWeights(model);
    model.dispose();
    return count;
  };
  const unit = arch === 'wideresnet' ? wideWidthUnit : 1;
  const chosen = scale === undefined ? width : thinWidth(weights, width, scale, unit);
  if (origin) assertNetwork(origin, networkIdentity({ ...config, width: chosen }));
  const model = build(chosen);
  if (!origin?.identity.widths) return { model, width: chosen };
  const whole = { weights: maskableWeights(model), macs: layerMacs(device, model, data.shape) };
  setWidths(model, origin.identity.widths, origin.path);
  return { model, width: chosen, whole };
}

/** Weights of convolutions and linear layers. */
export function maskableWeights(model: Module): number {
  return [...maskedParameters(model).values()].reduce((n, p) => n + p.size, 0);
}
