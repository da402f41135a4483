/** A network from a file that says what it is: a checkpoint, or a plain state_dict with its architecture given beside it. */
import { readFileBytes } from '../data/files.ts';
import { publishedStatistics } from '../data/index.ts';
import type { DataSet } from '../data/types.ts';
import type { Device } from '../device/index.ts';
import { FileError } from '../errors.ts';
import { setWidths } from '../nn/channels.ts';
import { createModel } from '../nn/models/index.ts';
import type { Module } from '../nn/module.ts';
import { writeState } from '../nn/state.ts';
import { Random } from '../tensor/philox.ts';
import type { RunHooks } from './api.ts';
import {
  assertFinite,
  assertIdentity,
  assertTensors,
  decodeWeights,
  type HostTensors,
  type Identity,
  identityOf,
  type Normalisation,
  normalisationText,
  sameNormalisation,
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
  /** As far as the file says it. */
  readonly normalisation?: Normalisation;
}

/** What a network has to know of the images that it is scored on. */
export interface ScoredData extends Pick<DataSet, 'name' | 'classes' | 'mean' | 'std'> {
  /** [C, H, W] */
  readonly shape: readonly number[];
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

/** Whether weights of a file are outside of its masks. */
export const isMasked = ({ masks }: NetworkFile): boolean => [...masks.values()].some(({ data }) => data.includes(0));

/**
 * The normalisation that a network is scored with: what its file states, else the published one of the data set that the file names, else that of the
 * data. Its weights are made for what it was trained with, so data of another set do not change it; a notice says so.
 */
export function scoredNormalisation(
  { path, metadata, normalisation }: NetworkFile,
  data: Pick<ScoredData, 'name' | 'mean' | 'std'>,
  { onNotice }: Pick<RunHooks, 'onNotice'> = {},
): Normalisation {
  const { dataset } = metadata;
  const other = dataset !== undefined && dataset !== data.name;
  const own = normalisation ?? (other ? publishedStatistics(dataset) : undefined);
  const { mean, std } = own ?? data;
  const images = other
    ? `on ${dataset}, not on ${data.name}`
    : `on other images${dataset ? ' of' : ' than those of'} ${data.name}`;
  const taken = own
    ? 'the normalisation is that of its training'
    : `the normalisation is that of ${data.name}, as it does not state its own`;
  if (other || !sameNormalisation({ mean, std }, data))
    onNotice?.(`${path}: was trained ${images}; ${taken}, ${normalisationText({ mean, std })}`);
  return { mean, std };
}

/** A network computes with images of any size, but what it says of another than it learned means nothing. @throws FileError with both sizes */
export function assertImageShape({ path, metadata }: NetworkFile, { name, shape }: Pick<ScoredData, 'name' | 'shape'>): void {
  const own = identityOf(metadata).shape;
  if (own && own.join() !== shape.join())
    throw new FileError(`${path}: was trained on images of [${own.join(', ')}], those of ${name} are [${shape.join(', ')}]`);
}

/**
 * The network that is scored, in eval mode.
 * @param asked needed where the file does not say it; where it does they must agree
 * @param hooks told where the network was trained on other data
 * @throws FileError if the file does not fit the data set, what was asked for, or itself; UsageError for an unknown architecture
 */
export function loadNetwork(
  device: Device,
  file: NetworkFile,
  data: ScoredData,
  asked: AskedNetwork,
  hooks: Pick<RunHooks, 'onNotice'> = {},
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
    throw new FileError(
      `${path}: was trained on ${metadata.classes} classes, ${data.name} has ${classes}: give its --dataset and --data`,
    );
  assertImageShape(file, data);
  const make = { device, random: new Random(0) };
  const network = createModel(arch, make, {
    ...own,
    classes,
    channels: data.shape[0],
    ...scoredNormalisation(file, data, hooks),
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
