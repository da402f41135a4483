/** The tensors of a run's folder: weights and masks of its last checkpoint, and the images of samples.safetensors. */
import { existsSync } from 'node:fs';
import { readSafetensors } from '../data/files.ts';
import { type StoredTensor, toFloat32 } from '../data/safetensors.ts';
import { FileError } from '../errors.ts';

/** A layer's mask: `keep` holds 0 or 1 for each weight of `shape`, [co, ci, kh, kw] or [out, in]. */
export interface LayerMask {
  name: string;
  shape: number[];
  keep: ArrayLike<number>;
}

/** A layer's weights, those that its mask drops included. */
export interface LayerWeights {
  name: string;
  values: ArrayLike<number>;
}

/** Clean and adversarial images [n, channels, height, width] in [0, 1] with their labels and what the model said. */
export interface Samples {
  shape: number[];
  clean: ArrayLike<number>;
  adv: ArrayLike<number>;
  labels: number[];
  predClean: number[];
  predAdv: number[];
  classes: string[];
}

const maskPrefix = 'mask.';

/**
 * The masks of a checkpoint, and the weights that can have one (2-D or 4-D, as `sparrow inspect` lists them); both empty without a file.
 * @param order the layers' names from input to output, as far as they are known @throws FileError where the file is damaged
 */
export function readNetwork(path: string, order: string[] = []): { masks: LayerMask[]; weights: LayerWeights[] } {
  if (!existsSync(path)) return { masks: [], weights: [] };
  const tensors = [...readSafetensors(path).tensors];
  const masks = tensors
    .filter(([name]) => name.startsWith(maskPrefix))
    .map(([name, { shape, data }]) => ({ name: name.slice(maskPrefix.length), shape: [...shape], keep: numbers(data) }))
    .filter(({ shape, keep }) => shape.length >= 2 && keep.length > 0);
  const weights = tensors
    .filter(([name, { shape }]) => name.endsWith('.weight') && !isBeside.test(name) && (shape.length === 2 || shape.length === 4))
    .map(([name, tensor]) => ({ name, values: toFloat32(tensor) }));
  return { masks: inNetworkOrder(masks, order), weights: inNetworkOrder(weights, order) };
}

/** What a checkpoint holds beside the model, as `src/train/checkpoint.ts` names it. */
const isBeside = /^(mask|momentum|fired|earlierMask|denseMomentum|ema|mode)\./;

/** Sorts layers as `order` lists them, else by name with its numbers as numbers: a checkpoint may hold its tensors in any order. */
function inNetworkOrder<T extends { name: string }>(layers: T[], order: string[]): T[] {
  const rank = new Map(order.map((name, i) => [name, i]));
  const place = (layer: T): number => rank.get(layer.name) ?? order.length;
  return layers.toSorted((a, b) => place(a) - place(b) || a.name.localeCompare(b.name, 'en', { numeric: true }));
}

/** The samples of a run; nothing where there is no file. @throws FileError where it is damaged or not of one run */
export function readSamples(path: string): Samples | undefined {
  if (!existsSync(path)) return undefined;
  const { tensors, metadata } = readSafetensors(path);
  const take = (name: string): { shape: number[]; data: ArrayLike<number> } => {
    const tensor = tensors.get(name);
    if (!tensor) throw new FileError(`${path}: no tensor '${name}'; the file is not a run's samples`);
    return { shape: [...tensor.shape], data: numbers(tensor.data) };
  };
  const [clean, adv] = [take('clean'), take('adv')];
  const [n, channels] = clean.shape;
  if (clean.shape.length !== 4 || (channels !== 3 && channels !== 1))
    throw new FileError(`${path}: 'clean' has shape [${clean.shape}]; images are [n, 3, height, width] or [n, 1, height, width]`);
  if (`${adv.shape}` !== `${clean.shape}`)
    throw new FileError(`${path}: 'adv' has shape [${adv.shape}] but 'clean' has [${clean.shape}]`);
  const perImage = (name: string): number[] => {
    const { data } = take(name);
    if (data.length !== n) throw new FileError(`${path}: '${name}' holds ${data.length} values for ${n} images`);
    return Array.from(data);
  };
  return {
    shape: clean.shape,
    clean: clean.data,
    adv: adv.data,
    labels: perImage('labels'),
    predClean: perImage('pred.clean'),
    predAdv: perImage('pred.adv'),
    classes: classNames(metadata?.classes),
  };
}

function classNames(source: string | undefined): string[] {
  try {
    const names: unknown = JSON.parse(source ?? '[]');
    return Array.isArray(names) ? names.map(String) : [];
  } catch {
    return [];
  }
}

/** Plain numbers of a tensor's data; int64 values arrive as bigint. */
function numbers(data: StoredTensor['data']): ArrayLike<number> {
  return data instanceof BigInt64Array || data instanceof BigUint64Array ? Array.from(data, Number) : data;
}
