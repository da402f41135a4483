/** The network between the stages: what may be pruned, and the removal of channels. */
import type { DataSet } from '../../data/types.ts';
import type { Device } from '../../device/index.ts';
import { FileError } from '../../errors.ts';
import { groupWidth, keepChannels, type Network, type Widths, widthsOf } from '../../nn/channels.ts';
import { layerMacs } from '../../nn/macs.ts';
import { readState, writeState } from '../../nn/state.ts';
import { assertChannelsReachable, channelScores, chooseChannels } from '../../sparse/channels.ts';
import { assertReachable } from '../../sparse/densities/index.ts';
import type { Pruning } from '../../sparse/early-bird.ts';
import { maskedParameters } from '../../sparse/masks.ts';
import type { DrawnTicket, RunHooks } from '../api.ts';
import { assertTensors, type Checkpoint, identityOf } from '../checkpoint.ts';
import type { TrainConfig } from '../config.ts';
import { networkIdentity } from '../model.ts';
import { createNetwork } from '../network.ts';
import { isMasked, type NetworkFile } from '../network-file.ts';

/** The network of a file without masks. @throws FileError if some weight is masked, or for a reason of `loadWhole` */
function loadDense(device: Device, data: DataSet, config: TrainConfig, file: NetworkFile) {
  if (isMasked(file)) throw prunedAlready(file);
  return loadWhole(device, data, config, file);
}

/** The network of a file, with all its channels. @throws FileError if some were removed, or it is of another network */
function loadWhole(device: Device, data: DataSet, config: TrainConfig, file: NetworkFile) {
  const { path, model: state, metadata } = file;
  const identity = identityOf(metadata);
  const { model, widths } = createNetwork(device, data, config, { path, identity, model: state });
  if (widths) throw prunedAlready(file);
  assertTensors(state, new Map([...model.state()].map(([name, t]) => [name, t.shape])), path);
  writeState(model, state, path);
  return model;
}

const prunedAlready = ({ path }: NetworkFile) =>
  new FileError(`${path}: is pruned already; Robust Bird prunes a dense checkpoint`);

/**
 * Checks what can be known before the first step.
 * @param files the checkpoint that takes the place of stage 1, or that whose weights (masks aside) it starts from
 * @throws UsageError for a density that cannot be reached, naming the nearest; FileError for a checkpoint that cannot be pruned
 */
export function assertPrunable(
  device: Device,
  data: DataSet,
  config: TrainConfig,
  { pruning, density }: { readonly pruning: Pruning; readonly density: number },
  { pretrained, init }: { readonly pretrained: NetworkFile | undefined; readonly init: NetworkFile | undefined },
): void {
  const make = () => (init ? loadWhole(device, data, config, init) : createNetwork(device, data, config).model);
  const model = pretrained ? loadDense(device, data, config, pretrained) : make();
  try {
    layerMacs(device, model, data.shape); // refuses images that are too small
    if (pruning === 'channel') assertChannelsReachable(model.channelGroups().map(groupWidth), density);
    else
      assertReachable(
        [...maskedParameters(model)].map(([name, { shape, size }]) => ({ name, shape, size })),
        density,
        1,
      );
  } finally {
    model.dispose();
  }
}

/** A network without the channels that a density leaves out, as a checkpoint to start from. */
export async function pruneChannels(
  device: Device,
  data: DataSet,
  config: TrainConfig,
  density: number,
  file: NetworkFile,
  hooks: RunHooks,
): Promise<{ checkpoint: Checkpoint; channels: NonNullable<DrawnTicket['channels']> }> {
  const model = loadDense(device, data, config, file);
  try {
    const groups = model.channelGroups();
    const { kept, rescued } = chooseChannels(await channelScores(groups), density);
    const names = Object.keys(widthsOf(model));
    if (rescued.length > 0) {
      const layers = rescued.map(group => names[group]).join(', ');
      hooks.onNotice?.(`channel pruning would remove every channel of ${layers}: the one with the largest gamma is kept`);
    }
    const channels = { kept: kept.flat().length, of: groups.reduce((n, group) => n + groupWidth(group), 0) };
    keepChannels(model, kept);
    const widths = channels.kept < channels.of ? widthsOf(model) : undefined;
    return { checkpoint: await checkpointOf(model, widths, data, config, file), channels };
  } finally {
    model.dispose();
  }
}

/** @param widths of the channels that are left, where some were removed */
async function checkpointOf(
  model: Network,
  widths: Widths | undefined,
  data: DataSet,
  config: TrainConfig,
  { metadata }: NetworkFile,
): Promise<Checkpoint> {
  const none = new Map();
  return {
    ...networkIdentity(config),
    dataset: config.dataset,
    classes: data.classes.length,
    shape: data.shape,
    normalisation: { mean: data.mean, std: data.std },
    ...(widths && { widths }),
    model: await readState(model),
    ...{ masks: none, momentum: none, fired: none, denseMomentum: none },
    epoch: Number(metadata.epoch ?? 0),
    iteration: Number(metadata.iteration ?? 0),
    history: [],
    random: null,
    state: null,
  };
}
