/** Checkpoints in the formats of other programs: what `sparrow export` does. */
import { version } from '../../package.json';
import { writeFileAtomic } from '../data/files.ts';
import { openDataSet, publishedStatistics } from '../data/index.ts';
import { encodeOnnx } from '../data/onnx.ts';
import { encodePth } from '../data/pth-writer.ts';
import { encodeSafetensors, type StoredTensor } from '../data/safetensors.ts';
import { openDevice } from '../device/index.ts';
import { FileError, UsageError } from '../errors.ts';
import type { RunHooks } from './api.ts';
import { type HostTensor, identityOf, normalisationNames } from './checkpoint.ts';
import type { ExportResult, ExportSettings } from './export-settings.ts';
import { loadNetwork, type NetworkFile, readNetworkFile, type ScoredData, scoredNormalisation } from './network-file.ts';
import { onnxGraph } from './onnx-graph.ts';

/**
 * Writes a checkpoint's network as another program reads it; of a run with `--ema` the average.
 * @throws UsageError and FileError for what is wrong with settings or files; SparrowError for a network that the format cannot hold
 */
export async function exportCheckpoint(settings: ExportSettings, hooks: RunHooks = {}): Promise<ExportResult> {
  const { to, out } = settings;
  const step = (done: number): void => hooks.onProgress?.({ label: `export to ${to}`, done, total: 3 });
  step(0);
  const file = readNetworkFile(settings.checkpoint!);
  step(1);
  const { bytes, tensors } = to === 'onnx' ? await onnxFile(file, settings, hooks) : await stateDictFile(file, settings, hooks);
  step(2);
  writeFileAtomic(out!, bytes);
  step(3);
  return { file: out!, format: to!, tensors, bytes: bytes.length };
}

/**
 * The state_dict alone, in the order of the file. `normalize.mean` and `normalize.std`, buffers of the reference implementation's models, are there where the data set
 * is known.
 */
async function stateDictFile(
  file: NetworkFile,
  settings: ExportSettings,
  hooks: RunHooks,
): Promise<{ bytes: Uint8Array; tensors: number }> {
  const name = settings.dataset ?? file.metadata.dataset;
  const statistics = file.normalisation ? undefined : await statisticsOf(file, name, settings, hooks);
  const known = statistics && scoredNormalisation(file, { name: name!, ...statistics }, hooks);
  const normalisation = file.normalisation ?? known;
  const channels = (values: readonly number[]): HostTensor => ({ shape: [values.length], data: Float32Array.from(values) });
  const tensors = new Map<string, StoredTensor>();
  for (const [name, t] of file.average ?? file.model) tensors.set(name, stored(name, t));
  for (const key of ['mean', 'std'] as const)
    if (normalisation) tensors.set(normalisationNames[key], stored('', channels(normalisation[key])));
  const bytes = settings.to === 'pth' ? encodePth(tensors) : encodeSafetensors(tensors, { format: 'pt' });
  return { bytes, tensors: tensors.size };
}

/** Counters of batch norms are whole numbers in PyTorch, everything else is float32. */
function stored(name: string, { shape, data }: HostTensor): StoredTensor {
  if (!name.endsWith('num_batches_tracked')) return { dtype: 'F32', shape, data };
  return { dtype: 'I64', shape, data: BigInt64Array.from(Array.from(data, BigInt)) };
}

async function onnxFile(
  file: NetworkFile,
  settings: ExportSettings,
  hooks: RunHooks,
): Promise<{ bytes: Uint8Array; tensors: number }> {
  const { path, metadata, model, average = model } = file;
  const name = settings.dataset ?? metadata.dataset;
  if (!name)
    throw new UsageError(`--dataset is required: ${path} does not name its data set, whose means and image size the graph needs`);
  const statistics = await statisticsOf(file, name, settings, hooks);
  if (!statistics) throw new UsageError(`--data is required: the means and the image size of '${name}' follow from its files`);
  const shape = identityOf(metadata).shape ?? statistics.shape;
  const classes = Array<string>(classesOf(file)).fill('');
  const device = await openDevice();
  try {
    const data = { name, classes, shape, mean: statistics.mean, std: statistics.std };
    const network = loadNetwork(device, file, data, settings, hooks);
    const graph = onnxGraph(device, network, shape, average, scoredNormalisation(file, data));
    network.dispose();
    const about = { arch: metadata.arch ?? settings.arch!, dataset: name };
    const bytes = encodeOnnx({ name: about.arch, ...graph, metadata: about }, { name: 'sparrow', version });
    return { bytes, tensors: graph.constants.size };
  } finally {
    device.close();
  }
}

/**
 * What the file itself states, else that of the data set `name`; undefined where there is no name, or its files would have to be there and `--data` was not
 * given.
 */
async function statisticsOf(
  { metadata, normalisation }: NetworkFile,
  name: string | undefined,
  { data, skipCorrupt }: ExportSettings,
  hooks: RunHooks,
): Promise<Pick<ScoredData, 'shape' | 'mean' | 'std'> | undefined> {
  const { shape } = identityOf(metadata);
  if (normalisation && shape) return { ...normalisation, shape };
  if (!name) return undefined;
  return publishedStatistics(name) ?? (data === undefined ? undefined : openDataSet({ dataset: name, data, skipCorrupt }, hooks));
}

/** How many classes the network tells apart: the outputs of its last linear layer. */
function classesOf({ path, model }: NetworkFile): number {
  const last = [...model].findLast(([name, { shape }]) => name.endsWith('.weight') && shape.length === 2);
  if (!last) throw new FileError(`${path}: has no linear layer that would give logits`);
  return last[1].shape[0];
}
