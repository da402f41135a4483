/**
 * Checkpoints: safetensors files that PyTorch can read. State_dicts are also read from PyTorch's own files. The model's tensors
 * stand under their state_dict names, beside them `mask.<name>` (U8, 0 or 1), `momentum.<name>` (F32), within an epoch
 * `earlierMask.<name>` (U8) and, with weight averaging, `ema.<name>` (F32); `mode.<name>` is what a training mode keeps between
 * steps. The metadata say what it is, of a pruned network its widths too, and everything a resumed run needs. The same state gives
 * the same bytes: nothing in them comes from a clock, but within an epoch the seconds that were spent on it.
 */
import { isPth, parsePth } from '../data/pth.ts';
import { encodeSafetensors, parseSafetensors, type StoredTensor, toFloat32 } from '../data/safetensors.ts';
import { FileError } from '../errors.ts';
import type { Widths } from '../nn/channels.ts';
import { type EpochHistory, withoutTimings } from './metrics.ts';

/** A tensor on the host: float32, row-major. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export type HostTensors = Map<string, HostTensor>;

/** The tensors of a checkpoint by purpose. `num_batches_tracked` counters are float32 here and I64 in the file, as in PyTorch. */
export interface Weights {
  readonly model: HostTensors;
  /** 1 where a weight is active, 0 elsewhere; by the name of the parameter. */
  readonly masks: HostTensors;
  readonly momentum: HostTensors;
  /** 1 where a weight was ever active. */
  readonly fired: HostTensors;
  /** The masks at the end of the last epoch; absent where they are still the same. */
  readonly earlierMasks?: HostTensors;
  /** Momentum kept without the mask (growth by momentum). */
  readonly denseMomentum: HostTensors;
  /** The averaged weights and running statistics of a run with `--ema`; absent without. */
  readonly ema?: HostTensors;
  /** What a training mode keeps between steps, by its own names; absent where it keeps nothing. */
  readonly modeState?: HostTensors;
}

/** What the network is. */
export interface Identity {
  readonly arch: string;
  readonly dataset: string;
  readonly classes: number;
  readonly width: number;
  /** Of wideresnet only. */
  readonly depthFactor?: number;
  readonly widthFactor?: number;
  /** [C, H, W] of the images; older files do not say it. */
  readonly shape?: readonly number[];
  /** Of a network whose channels were pruned: those that are left, by group. */
  readonly widths?: Widths;
}

/** A run at one moment. */
export interface Checkpoint extends Weights, Identity {
  /** How the network normalises pixels; older files do not say it. */
  readonly normalisation?: Normalisation;
  /** Epochs that are complete; the run goes on in the epoch of this number (from 0). */
  readonly epoch: number;
  /** Batches done since the run began; `free` makes several optimiser steps on each. */
  readonly iteration: number;
  /** The metrics of the complete epochs. */
  readonly history: readonly EpochHistory[];
  /** The states of the random streams, as plain JSON values. */
  readonly random: unknown;
  /** Whatever else the loop keeps between steps (running sums, the best epoch so far), as plain JSON values. */
  readonly state: unknown;
}

/** What a file holds: weights, and what it says of itself. */
export interface WeightsFile extends Weights {
  readonly metadata: Record<string, string>;
  /** By the metadata of a checkpoint, or by two tensors of a state_dict of the reference implementation; other files do not say it. */
  readonly normalisation?: Normalisation;
}

/** Of the pixels' channels. */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Rises when older programs would misread a file. */
const formatVersion = 1;
const counter = 'num_batches_tracked';

/** The bytes of a checkpoint. */
export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  const tensors = new Map<string, StoredTensor>();
  for (const [name, { shape, data }] of checkpoint.model) {
    if (name.endsWith(counter)) tensors.set(name, { dtype: 'I64', shape, data: BigInt64Array.from(Array.from(data, BigInt)) });
    else tensors.set(name, { dtype: 'F32', shape, data });
  }
  for (const [name, { shape, data }] of checkpoint.masks)
    tensors.set(`mask.${name}`, { dtype: 'U8', shape, data: Uint8Array.from(data) });
  for (const [name, { shape, data }] of checkpoint.fired)
    tensors.set(`fired.${name}`, { dtype: 'U8', shape, data: Uint8Array.from(data) });
  for (const [name, { shape, data }] of checkpoint.earlierMasks ?? [])
    tensors.set(`earlierMask.${name}`, { dtype: 'U8', shape, data: Uint8Array.from(data) });
  for (const [name, { shape, data }] of checkpoint.denseMomentum)
    tensors.set(`denseMomentum.${name}`, { dtype: 'F32', shape, data });
  for (const [name, { shape, data }] of checkpoint.momentum) tensors.set(`momentum.${name}`, { dtype: 'F32', shape, data });
  for (const [prefix, group] of [
    ['ema', checkpoint.ema],
    ['mode', checkpoint.modeState],
  ] as const)
    for (const [name, { shape, data }] of group ?? []) tensors.set(`${prefix}.${name}`, { dtype: 'F32', shape, data });
  return encodeSafetensors(tensors, {
    format: 'sparrow',
    format_version: String(formatVersion),
    arch: checkpoint.arch,
    dataset: checkpoint.dataset,
    classes: String(checkpoint.classes),
    width: String(checkpoint.width),
    ...(checkpoint.depthFactor && { depth_factor: String(checkpoint.depthFactor) }),
    ...(checkpoint.widthFactor && { width_factor: String(checkpoint.widthFactor) }),
    ...(checkpoint.shape && { shape: checkpoint.shape.join() }),
    ...(checkpoint.normalisation && { mean: checkpoint.normalisation.mean.join(), std: checkpoint.normalisation.std.join() }),
    ...(checkpoint.widths && { widths: encodeWidths(checkpoint.widths) }),
    epoch: String(checkpoint.epoch),
    iteration: String(checkpoint.iteration),
    random: JSON.stringify(checkpoint.random ?? null),
    state: JSON.stringify(checkpoint.state ?? null),
    history: JSON.stringify(checkpoint.history.map(withoutTimings)),
  });
}

/**
 * The weights in a file: a checkpoint, or a plain state_dict as safetensors or of `torch.save` (then without masks and momentum).
 * @param source what messages call the file @throws FileError if it is not valid, or newer than this program
 */
export function decodeWeights(bytes: Uint8Array, source: string): WeightsFile {
  const { tensors, metadata } = isPth(bytes)
    ? { tensors: parsePth(bytes, source), metadata: {} }
    : parseSafetensors(bytes, source);
  const version = Number(metadata.format_version);
  if (metadata.format === 'sparrow' && !(version <= formatVersion)) {
    throw new FileError(
      `${source}: has format version ${metadata.format_version}, this sparrow reads up to ${formatVersion}; update it to use the file`,
    );
  }
  const model: HostTensors = new Map();
  const groups: Record<string, HostTensors> = {
    mask: new Map(),
    momentum: new Map(),
    fired: new Map(),
    earlierMask: new Map(),
    denseMomentum: new Map(),
    ema: new Map(),
  };
  const modeState: HostTensors = new Map();
  const weights = {
    model,
    masks: groups.mask,
    momentum: groups.momentum,
    fired: groups.fired,
    denseMomentum: groups.denseMomentum,
  };
  for (const [name, tensor] of tensors) {
    const [, prefix, rest] = /^(mask|momentum|fired|earlierMask|denseMomentum|ema|mode)\.(.+)$/s.exec(name) ?? [];
    const group = prefix === 'mode' ? modeState : prefix ? groups[prefix] : model;
    group.set(rest ?? name, { shape: tensor.shape, data: toFloat32(tensor) });
  }
  for (const [prefix, group] of Object.entries(groups)) {
    for (const [name, { shape }] of group) {
      const parameter = weights.model.get(name);
      if (!parameter || !sameShape(parameter.shape, shape)) {
        throw new FileError(`${source}: ${prefix}.${name} [${shape}] belongs to no tensor of the model`);
      }
    }
  }
  for (const [name, { data }] of weights.masks) {
    if (data.some(bit => bit !== 0 && bit !== 1)) throw new FileError(`${source}: mask.${name} holds values other than 0 and 1`);
  }
  const normalisation = takeNormalisation(model) ?? statedNormalisation(metadata, source);
  return {
    ...weights,
    ...(groups.earlierMask.size ? { earlierMasks: groups.earlierMask } : {}),
    ...(groups.ema.size ? { ema: groups.ema } : {}),
    ...(modeState.size ? { modeState } : {}),
    ...(normalisation && { normalisation }),
    metadata,
  };
}

/** Where state_dicts of the reference implementation have the normalisation; here it is a layer without state. */
export const normalisationNames = { mean: 'normalize.mean', std: 'normalize.std' } as const;

function takeNormalisation(model: HostTensors): Normalisation | undefined {
  const [mean, std] = [normalisationNames.mean, normalisationNames.std].map(name => {
    const values = model.get(name)?.data;
    model.delete(name);
    return values && [...values];
  });
  return mean && std && { mean, std };
}

/** Checks that a network normalises pixels as a data set asks. @throws FileError with both normalisations */
export function assertNormalisation(
  checkpoint: Pick<Checkpoint, 'normalisation'>,
  data: Normalisation & { name: string },
  source: string,
): void {
  const { normalisation } = checkpoint;
  if (normalisation && !sameNormalisation(normalisation, data))
    throw new FileError(
      `${source}: normalises with ${normalisationText(normalisation)}; ${data.name} has ${normalisationText(data)}: give the data set it was trained on`,
    );
}

/** Whether two agree to the digits that statistics are published with. */
export function sameNormalisation(a: Normalisation, b: Normalisation): boolean {
  const near = (p: readonly number[], q: readonly number[]) =>
    p.length === q.length && p.every((v, i) => Math.abs(v - q[i]) <= 1e-4);
  return near(a.mean, b.mean) && near(a.std, b.std);
}

/** As messages say it. */
export function normalisationText({ mean, std }: Normalisation): string {
  const short = (value: number) => String(Number(value.toFixed(4)));
  return `mean ${mean.map(short).join(' ')}, std ${std.map(short).join(' ')}`;
}

/** What metadata state; undefined in older checkpoints. @throws FileError where it is nonsense */
function statedNormalisation(metadata: Readonly<Record<string, string>>, source: string): Normalisation | undefined {
  if (!metadata.mean || !metadata.std) return undefined;
  const [mean, std] = [metadata.mean, metadata.std].map(text => text.split(',').map(Number));
  if (mean.length !== std.length || !mean.every(Number.isFinite) || !std.every(v => Number.isFinite(v) && v > 0))
    throw new FileError(`${source}: its metadata 'mean' and 'std' are not a number for each channel`);
  return { mean, std };
}

/** A checkpoint that a run can continue from. @throws FileError if the file is not one, or newer than this program */
export function decodeCheckpoint(bytes: Uint8Array, source: string): Checkpoint {
  const { metadata, ...weights } = decodeWeights(bytes, source);
  if (metadata.format !== 'sparrow') throw new FileError(`${source}: holds weights but is not a checkpoint of sparrow`);
  const field = (key: string): string => {
    if (!Object.hasOwn(metadata, key)) throw new FileError(`${source}: its metadata lack '${key}'`);
    return metadata[key];
  };
  const count = (key: string): number => {
    const value = Number(field(key));
    if (!Number.isSafeInteger(value) || value < 0) throw new FileError(`${source}: its metadata '${key}' is not a whole number`);
    return value;
  };
  const json = (key: string): unknown => {
    try {
      return JSON.parse(field(key));
    } catch (error) {
      if (error instanceof FileError) throw error;
      throw new FileError(`${source}: its metadata '${key}' is not valid JSON`);
    }
  };
  const history = json('history');
  if (!Array.isArray(history)) throw new FileError(`${source}: its metadata 'history' is not a list`);
  return {
    ...weights,
    arch: field('arch'),
    dataset: field('dataset'),
    classes: count('classes'),
    width: count('width'),
    ...furtherIdentity(metadata),
    epoch: count('epoch'),
    iteration: count('iteration'),
    random: json('random'),
    state: json('state'),
    history,
  };
}

/** Checks that a checkpoint is of the network asked for. @throws FileError saying each thing that differs */
export function assertIdentity(checkpoint: Partial<Identity>, expected: Partial<Identity>, source: string): void {
  const keys = ['arch', 'dataset', 'classes', 'width', 'depthFactor', 'widthFactor'] as const;
  const wrong = keys.filter(key => expected[key] !== undefined && checkpoint[key] !== expected[key]);
  if (wrong.length === 0) return;
  throw new FileError(`${source}: ${wrong.map(key => `${key} is ${checkpoint[key]}, not ${expected[key]}`).join('; ')}`);
}

/** A file that a network comes from, what it says of it (nothing where it is a plain state_dict), and its tensors. */
export interface Origin {
  readonly path: string;
  readonly identity: Partial<Identity>;
  readonly model: HostTensors;
}

/**
 * Checks that weights to start from or to score are of the network asked for, where their file names it; the data set may be another.
 * @throws FileError saying each thing that differs
 */
export function assertNetwork(
  { identity, path }: Origin,
  asked: Pick<Identity, 'arch' | 'width' | 'depthFactor' | 'widthFactor'>,
): void {
  if (identity.arch !== undefined) assertIdentity(identity, asked, path);
}

/** What metadata say of a network; nothing for a plain state_dict. Not validated: it is compared with what is asked for. */
export function identityOf(metadata: Readonly<Record<string, string>>): Partial<Identity> {
  const { arch, dataset, classes, width } = metadata;
  if (!arch) return {};
  return { arch, dataset, classes: Number(classes), width: Number(width), ...furtherIdentity(metadata) };
}

/** What metadata say of a network where it applies: the factors of a wideresnet, the size of the images, the widths of a pruned network. */
function furtherIdentity(
  metadata: Readonly<Record<string, string>>,
): Pick<Identity, 'depthFactor' | 'widthFactor' | 'shape' | 'widths'> {
  const { depth_factor: depth, width_factor: width, shape, widths } = metadata;
  return {
    ...(depth && { depthFactor: Number(depth) }),
    ...(width && { widthFactor: Number(width) }),
    ...(shape && { shape: shape.split(',').map(Number) }),
    ...(widths && { widths: decodeWidths(widths) }),
  };
}

/** `conv1=31,layer1.0.conv1=20`. */
const encodeWidths = (widths: Widths): string =>
  Object.entries(widths)
    .map(([group, channels]) => `${group}=${channels}`)
    .join();

/** Nonsense becomes names or numbers that no network has. */
const decodeWidths = (text: string): Widths =>
  Object.fromEntries(
    text.split(',').map(part => {
      const [group, channels] = part.split('=');
      return [group, Number(channels)];
    }),
  );

/**
 * Checks that tensors are exactly those a model has. Counters of batch norms may be missing or extra, as in older state_dicts.
 * @param expected shape of every tensor by name
 * @throws FileError naming the first few that are missing, unexpected or of another shape
 */
export function assertTensors(
  tensors: ReadonlyMap<string, HostTensor>,
  expected: ReadonlyMap<string, readonly number[]>,
  source: string,
): void {
  const missing = [...expected.keys()].filter(name => !tensors.has(name) && !name.endsWith(counter));
  const unexpected = [...tensors.keys()].filter(name => !expected.has(name) && !name.endsWith(counter));
  const misshapen: string[] = [];
  for (const [name, shape] of expected) {
    const found = tensors.get(name);
    if (found && !sameShape(found.shape, shape)) misshapen.push(`${name} [${found.shape}] instead of [${shape}]`);
  }
  const problems = [list('missing', missing), list('unexpected', unexpected), list('of another shape', misshapen)].filter(
    Boolean,
  );
  if (problems.length) throw new FileError(`${source}: does not fit the model: ${problems.join('; ')}`);
}

/**
 * Checks that tensors hold numbers. A ReLU may make 0 of a NaN, as kernels may assume that there are none; the network would then have accuracies that
 * nothing is wrong with.
 * @throws FileError naming the first that does not
 */
export function assertFinite(tensors: ReadonlyMap<string, HostTensor>, source: string): void {
  for (const [name, { data }] of tensors) {
    const broken = data.reduce((n, value) => (Number.isFinite(value) ? n : n + 1), 0);
    if (broken > 0)
      throw new FileError(`${source}: ${broken} of the ${data.length} values of ${name} are not finite; use another checkpoint`);
  }
}

/** `2 missing: a, b`; at most three names, then how many more. Empty for none. */
function list(what: string, names: readonly string[]): string {
  if (names.length === 0) return '';
  const more = names.length > 3 ? ` and ${names.length - 3} more` : '';
  return `${names.length} ${what}: ${names.slice(0, 3).join(', ')}${more}`;
}

/** One maskable tensor of a checkpoint: a weight of a convolution (4-D) or a linear layer (2-D). */
export interface LayerSummary {
  readonly name: string;
  readonly shape: readonly number[];
  readonly weights: number;
  /** Active weights: those of the mask where there is one, else those that are not zero. */
  readonly active: number;
  readonly masked: boolean;
}

/**
 * The maskable tensors of a model, from its input to its logits.
 * @param order their names as the network has them. Files are ordered by name; what is not named here follows its name too, but for a first convolution
 * and a last linear layer outside of the stages (`conv1`, `layer2`, `layer10`, `linear`)
 */
export function summariseLayers(
  { model, masks }: Pick<Weights, 'model' | 'masks'>,
  order: Iterable<string> = [],
): LayerSummary[] {
  const layers: LayerSummary[] = [];
  for (const [name, { shape, data }] of model) {
    if (!name.endsWith('.weight') || (shape.length !== 2 && shape.length !== 4)) continue;
    const values = masks.get(name)?.data ?? data;
    let active = 0;
    for (const value of values) if (value !== 0) active++;
    layers.push({ name, shape, weights: data.length, active, masked: masks.has(name) });
  }
  const places = new Map([...order].map((name, i) => [name, i]));
  const place = ({ name }: LayerSummary) => places.get(name) ?? places.size;
  const part = ({ name, shape }: LayerSummary) => (/^[^.]+\.weight$/.test(name) ? (shape.length === 4 ? 0 : 2) : 1);
  const byName = new Intl.Collator('en', { numeric: true });
  return layers.sort((a, b) => place(a) - place(b) || part(a) - part(b) || byName.compare(a.name, b.name));
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}
