/** A network from a file that says what it is: a checkpoint, or a plain state_dict with its architecture given beside it. */
import { readFileBytes } from '../data/files.ts';
import type { DataSet } from '../data/types.ts';
import type { Device } from '../device/index.ts';
import { FileError } from '../errors.ts';
import { setWidths } from '../nn/channels.ts';
import { createModel } from '../nn/models/index.ts';
import type { Module } from '../nn/module.ts';
import { writeState } from '../nn/state.ts';
import { Random } from '../tensor/philox.ts';
import {
  assertFinite,
  assertIdentity,
  assertNormalisation,
  assertTensors,
  decodeWeights,
  type HostTensors,
  type Identity,
  identityOf,
  type Normalisation,
  summariseLayers,
} from './checkpoint.ts';
import { widthsOfFile } from './network.ts';

/** What messages call the file, what it holds, and what it says of itself. */
export interface NetworkFile {
  readonly path: string;
  readonly model: HostTensors;
  /** 1 where a weight is active, by its name; empty where the file has no masks. */
  readonly masks: HostTensors;
  /** Of a run with `--ema` the averaged network, which is what is scored. */
  readonly average?: HostTensors;
  readonly metadata: Readonly<Record<string, string>>;
  readonly normalisation?: Normalisation;
}

/** What the command line says of a network. */
export interface AskedNetwork {
  arch?: string | undefined;
  width?: number | undefined;
  depthFactor?: number | undefined;
  widthFactor?: number | undefined;
}

/** What was given of it. */
function chosen(asked: AskedNetwork): Pick<Partial<Identity>, 'arch' | 'width' | 'depthFactor' | 'widthFactor'> {
  const { arch, width, depthFactor, widthFactor } = asked;
  return {
    ...(arch && { arch }),
    ...(width && { width }),
    ...(depthFactor && { depthFactor }),
    ...(widthFactor && { widthFactor }),
  };
}

/** @throws FileError if the file cannot be read, is not one, or holds numbers that are not finite */
export function readNetworkFile(path: string): NetworkFile {
  const { model, masks, ema, metadata, normalisation } = decodeWeights(readFileBytes(path), path);
  for (const tensors of [model, ema ?? new Map()]) assertFinite(tensors, path);
  return { path, model, masks, metadata, ...(ema && { average: ema }), ...(normalisation && { normalisation }) };
}

/**
 * The network that is scored, in eval mode.
 * @param asked needed where the file does not say it; where it does they must agree
 * @throws FileError if the file does not fit the data set, what was asked for, or itself; UsageError for an unknown architecture
 */
export function loadNetwork(
  device: Device,
  file: NetworkFile,
  data: Pick<DataSet, 'name' | 'classes' | 'shape' | 'mean' | 'std'>,
  asked: AskedNetwork,
): Module {
  const { path, model, metadata } = file;
  const classes = data.classes.length;
  const arch = metadata.arch ?? asked.arch;
  if (!arch) throw new FileError(`${path}: does not name its architecture: give --arch and --width`);
  const identity = identityOf(metadata);
  const { width = 64, depthFactor, widthFactor }: Partial<Identity> = metadata.arch ? identity : chosen(asked);
  const own = { arch, width, ...(depthFactor && { depthFactor }), ...(widthFactor && { widthFactor }) };
  assertIdentity(own, chosen(asked), path);
  if (metadata.classes && Number(metadata.classes) !== classes)
    throw new FileError(`${path}: was trained on ${metadata.classes} classes, ${data.name} has ${classes}: give its --dataset`);
  assertNormalisation(file, data, path);
  const make = { device, random: new Random(0) };
  const network = createModel(arch, make, {
    ...own,
    classes,
    channels: data.shape[0],
    mean: data.mean,
    std: data.std,
  });
  const widths = widthsOfFile(network, { path, identity, model });
  if (widths) setWidths(network, widths, path);
  writeNetwork(network, file);
  return network.eval();
}

/**
 * Gives a network the weights of a file that are scored, and tells its kernels how much of each layer is left.
 * @throws FileError if the tensors are not those of the network
 */
export function writeNetwork(network: Module, file: NetworkFile): void {
  const { path, model, average = model, masks } = file;
  assertTensors(average, new Map([...network.state()].map(([name, t]) => [name, t.shape])), path);
  writeState(network, average, path);
  const parameters = network.parameters();
  for (const { name, active, weights } of summariseLayers({ model: average, masks }))
    parameters.get(name)!.density = active / weights;
}
