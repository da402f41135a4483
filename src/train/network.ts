/** The network of a configuration, on the device. */
import type { DataSet } from '../data/index.ts';
import type { Device } from '../device/index.ts';
import { type Network, setWidths, type Widths, widthsIn } from '../nn/channels.ts';
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
  /** Of a pruned network: the channels that are left. */
  readonly widths?: Widths;
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
  const widths = origin && widthsOfFile(model, origin);
  if (!widths) return { model, width: chosen };
  const whole = { weights: maskableWeights(model), macs: layerMacs(device, model, data.shape) };
  setWidths(model, widths, origin.path);
  return { model, width: chosen, widths, whole };
}

/**
 * The channels that are left of a pruned network: as its file says, or where that is a plain state_dict by its tensors.
 * @param network with all channels @throws FileError for a state_dict whose channels do not go together
 */
export function widthsOfFile(network: Network, { identity, model, path }: Origin): Widths | undefined {
  return identity.arch === undefined ? widthsIn(network, model, path) : identity.widths;
}

/** Weights of convolutions and linear layers. */
export function maskableWeights(model: Module): number {
  return [...maskedParameters(model).values()].reduce((n, p) => n + p.size, 0);
}
