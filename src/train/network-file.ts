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
import { assertIdentity, assertTensors, decodeWeights, type HostTensors, identityOf } from './checkpoint.ts';

/** What messages call the file, what it holds, and what it says of itself. */
export interface NetworkFile {
  readonly path: string;
  readonly model: HostTensors;
  /** 1 where a weight is active, by its name; empty where the file has no masks. */
  readonly masks: HostTensors;
  readonly metadata: Readonly<Record<string, string>>;
}

/** @throws FileError if the file cannot be read, or is not one */
export function readNetworkFile(path: string): NetworkFile {
  const { model, masks, metadata } = decodeWeights(readFileBytes(path), path);
  return { path, model, masks, metadata };
}

/**
 * The network, in eval mode.
 * @param asked architecture and width, needed where the file names none; where it does they must agree
 * @throws FileError if the file does not fit the data set, what was asked for, or itself; UsageError for an unknown architecture
 */
export function loadNetwork(
  device: Device,
  { path, model, metadata }: NetworkFile,
  data: Pick<DataSet, 'name' | 'classes' | 'shape' | 'mean' | 'std'>,
  asked: { arch?: string | undefined; width?: number | undefined },
): Module {
  const classes = data.classes.length;
  const arch = metadata.arch ?? asked.arch;
  if (!arch) throw new FileError(`${path}: does not name its architecture: give --arch and --width`);
  const own = { arch, width: metadata.arch ? Number(metadata.width) : (asked.width ?? 64) };
  const wanted = { ...(asked.arch ? { arch: asked.arch } : {}), ...(asked.width ? { width: asked.width } : {}) };
  assertIdentity(own, wanted, path);
  if (metadata.classes && Number(metadata.classes) !== classes)
    throw new FileError(`${path}: was trained on ${metadata.classes} classes, ${data.name} has ${classes}: give its --dataset`);
  const make = { device, random: new Random(0) };
  const { depthFactor, widthFactor, widths } = identityOf(metadata);
  const network = createModel(arch, make, {
    width: own.width,
    ...(depthFactor && { depthFactor }),
    ...(widthFactor && { widthFactor }),
    classes,
    channels: data.shape[0],
    mean: data.mean,
    std: data.std,
  });
  if (widths) setWidths(network, widths, path);
  assertTensors(model, new Map([...network.state()].map(([name, t]) => [name, t.shape])), path);
  writeState(network, model, path);
  network.eval();
  return network;
}
