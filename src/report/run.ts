/**
 * What a report knows of a run, and reading it from the run's folder: config.json, metrics.jsonl, result.json, distances.json, the weights
 * and masks in its last checkpoint and samples.safetensors. A piece that is missing is left out of `RunData` (a run may still be going, or
 * have no masks); a piece that is there and cannot be read is an error that names the file. A stage of Robust Bird has the settings of
 * robust-bird.json that its config.json lacks, and stage 2 shows the distances of stage 1, by which its ticket was found.
 */
import { existsSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { readFileText } from '../data/files.ts';
import { FileError } from '../errors.ts';
import { type RobustBirdSettings, settingsFile } from '../train/robust-bird/settings.ts';
import { type Distances, toDistances } from './distances.ts';
import { type LayerMask, type LayerWeights, readNetwork, readSamples, type Samples } from './tensors.ts';

/** One line of metrics.jsonl. Accuracies and rates are fractions; a value that was not measured is NaN. */
export type EpochMetrics = Record<(typeof metricKeys)[number], number> & { layers?: LayerCount[]; events?: MaskUpdate[] };

/** A mask update, by the iteration it followed; `prune` and `grow` are the decisions of Flying Bird+ taken for it. */
export interface MaskUpdate {
  iteration: number;
  prune: boolean;
  grow: boolean;
}

const metricKeys = [
  'epoch',
  'trainRa',
  'valSa',
  'valRa',
  'valLoss',
  'testSa',
  'testRa',
  'lr',
  'density',
  'deathRate',
  'fired',
  'maskDistance',
  'imagesPerSecond',
  'seconds',
] as const;

const unmeasured = Object.fromEntries(metricKeys.map(key => [key, Number.NaN])) as Record<(typeof metricKeys)[number], number>;

/** How many of a layer's `size` weights are not masked. */
export interface LayerCount {
  name: string;
  nnz: number;
  size: number;
}

/** The run's summary. `best` is by validation RA; numbers that are missing are NaN. */
export interface RunResult {
  arch: string;
  dataset: string;
  mode: string;
  density: number;
  best: { epoch: number; testRa: number; testSa: number; valRa: number };
  final: { testRa: number; testSa: number };
  gap: { trainRa: number; testRa: number; gap: number };
  flops: { inferenceDense: number; inferenceReal: number; trainingDense: number; trainingReal: number; formula: string };
  adapter: string;
  seconds: number;
  seed: number;
  /** What stage 1 of Robust Bird was, and what was pruned after it. */
  stages?: string;
}

export interface RunData {
  /** The folder's own name, without its path. */
  folder: string;
  label: string;
  /** What config.json says, and of a stage of Robust Bird what both stages were begun with. */
  config: Record<string, unknown>;
  metrics: EpochMetrics[];
  /** Of stage 2 of Robust Bird: the training of stage 1, empty where a checkpoint took its place; its epochs are NaN until stage 2 is done. */
  stage1?: { mode: string; epochs: number };
  /** Absent while a run has not ended. */
  result?: RunResult;
  /** In the network's order; empty where the run has no masks. */
  masks: LayerMask[];
  /** Of every maskable layer, in the network's order; empty without a checkpoint. */
  weights: LayerWeights[];
  /** Between the masks that epochs would draw (Robust Bird's search for its ticket). */
  distances?: Distances;
  samples?: Samples;
}

/**
 * Reads a run's folder. Throws FileError where the folder is missing or holds neither config.json, metrics.jsonl nor result.json, where
 * its last round or stage has not begun, and where one of its files is broken. A half-written last line of metrics.jsonl is ignored: the run
 * may be writing it now.
 * @param numbersOnly leaves out weights, masks and images
 */
export function loadRun(folder: string, numbersOnly = false): RunData {
  const path = (name: string): string => join(folder, name);
  if (!existsSync(folder)) throw new FileError(`${folder}: no such folder; ${existingRun(folder)}`);
  if (!statSync(folder).isDirectory()) throw new FileError(`${folder}: is a file; give the folder of a run (its --save-dir)`);
  const earlier = ['config.json', 'result.json'].some(name => existsSync(path(name))) ? undefined : earlierPart(folder);
  if (earlier !== undefined) throw new FileError(`${folder}: ${earlier}`);
  if (!['config.json', 'metrics.jsonl', 'result.json'].some(name => existsSync(path(name))))
    throw new FileError(`${folder}: not a run: it holds no config.json, metrics.jsonl or result.json; give a run's --save-dir`);

  const robustBird = robustBirdOf(folder);
  const config = { ...readJson(path('config.json')), ...pick(robustBird, beyondConfig) };
  const rawResult = readJson(path('result.json'));
  const metrics = readMetrics(path('metrics.jsonl'));
  const name = basename(resolve(folder));
  const stage1 = robustBird ? robustBird.stage1 : rawResult?.stage1;
  const isSecond = !isFirst(folder) && (robustBird ?? rawResult?.pruning) !== undefined;
  const searched = typeof stage1 === 'string' ? [folder, stageFolder(folder, 1)] : [folder];
  const distancesFile = searched.map(place => join(place, 'distances.json')).find(existsSync);
  return {
    folder: name,
    label: text(rawResult?.label) || text(config.label) || name,
    config,
    metrics,
    ...(isSecond && { stage1: { mode: text(stage1), epochs: number(object(rawResult?.ticket).epoch) + 1 } }),
    result: rawResult && toResult(rawResult),
    ...(numbersOnly
      ? { masks: [], weights: [] }
      : readNetwork(
          path('checkpoint.safetensors'),
          metrics.at(-1)?.layers?.map(layer => layer.name),
        )),
    distances: distancesFile === undefined ? undefined : toDistances(readJson(distancesFile)!, distancesFile),
    samples: numbersOnly ? undefined : readSamples(path('samples.safetensors')),
  };
}

const stageName = /_stage([12])[\\/]*$/;
const isFirst = (folder: string): boolean => stageName.exec(folder)?.[1] === '1';

/** Where a stage of Robust Bird lies beside the other; of any other run the folder itself. */
const stageFolder = (folder: string, stage: 1 | 2): string => folder.replace(stageName, `_stage${stage}`);

/** Settings of Robust Bird that make a stage's numbers and that its config.json lacks, or has at a default without effect. */
const beyondConfig: readonly (keyof RobustBirdSettings)[] = [
  'stage1',
  'epochs1',
  'stage1Pretrained',
  'init',
  'pruning',
  'density',
];

/**
 * robust-bird.json of a stage's run, which lies in the folder of stage 2. A stage 1 that it did not train is another run's, and so is a
 * finished run in the folder of stage 2 that pruned nothing: a `train` that took its place.
 */
function robustBirdOf(folder: string): Json | undefined {
  const second = stageFolder(folder, 2);
  const settings = readJson(join(second, settingsFile));
  const first = isFirst(folder);
  const result = first ? undefined : readJson(join(second, 'result.json'));
  return (first && settings?.stage1 === undefined) || (result && result.pruning === undefined) ? undefined : settings;
}

/** What to give instead of a folder that is not there: Robust Bird has its runs beside its --save-dir. */
function existingRun(folder: string): string {
  const second = `${folder.replace(/[\\/]+$/, '')}_stage2`;
  return existsSync(second) ? `Robust Bird's run is in ${second}` : 'give the folder of a run (its --save-dir)';
}

/** Why a folder in which training began holds no run yet, and which does: rounds of --imp and stages of Robust Bird have their own. */
function earlierPart(folder: string): string | undefined {
  const robustBird = readJson(join(folder, settingsFile));
  const first = stageFolder(folder, 1);
  if (robustBird) {
    const place = robustBird.stage1 !== undefined && existsSync(join(first, 'config.json')) ? `; stage 1 is in ${first}` : '';
    return `stage 2 of Robust Bird has not begun${place}`;
  }
  const round = (k: number): string => join(folder, `round-${k}`);
  let begun = 0;
  while (existsSync(join(round(begun), 'config.json'))) begun++;
  return begun === 0 ? undefined : `the last round of --imp has not begun; give the newest, ${round(begun - 1)}`;
}

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);
const object = (value: unknown): Json => (isObject(value) ? value : {});
/** The entries of some names, as far as they are there. */
const pick = (values: Json = {}, names: readonly string[]): Json =>
  Object.fromEntries(names.filter(name => values[name] !== undefined).map(name => [name, values[name]]));
const number = (value: unknown): number => (typeof value === 'number' ? value : Number.NaN);
const text = (value: unknown): string =>
  typeof value === 'string' ? value : value === undefined || value === null ? '' : JSON.stringify(value);

function parseObject(source: string, where: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (error) {
    throw new FileError(`${where}: not JSON (${(error as Error).message}); the file is damaged`);
  }
  if (!isObject(value)) throw new FileError(`${where}: holds no JSON object; the file is damaged`);
  return value;
}

const readIfThere = (path: string): string | undefined => (existsSync(path) ? readFileText(path) : undefined);

function readJson(path: string): Json | undefined {
  const source = readIfThere(path);
  return source === undefined ? undefined : parseObject(source, path);
}

function readMetrics(path: string): EpochMetrics[] {
  const lines = (readIfThere(path) ?? '').split('\n').map((line, i) => ({ line, where: `${path}, line ${i + 1}` }));
  const open = lines.pop()!;
  const metrics = lines.filter(({ line }) => line.trim()).map(({ line, where }) => toMetrics(parseObject(line, where)));
  return isWholeObject(open.line) ? [...metrics, toMetrics(parseObject(open.line, open.where))] : metrics;
}

function isWholeObject(line: string): boolean {
  try {
    return isObject(JSON.parse(line));
  } catch {
    return false;
  }
}

function toMetrics(line: Json): EpochMetrics {
  const values: EpochMetrics = { ...unmeasured };
  for (const key of metricKeys) values[key] = number(line[key]);
  if (Array.isArray(line.layers))
    values.layers = line.layers.map(object).map(l => ({ name: text(l.name), nnz: number(l.nnz), size: number(l.size) }));
  if (Array.isArray(line.events))
    values.events = line.events
      .map(object)
      .map(e => ({ iteration: number(e.iteration), prune: e.prune === true, grow: e.grow === true }));
  return values;
}

function toResult(raw: Json): RunResult {
  const [best, final, gap, flops] = ['best', 'final', 'gap', 'flops'].map(key => object(raw[key]));
  return {
    arch: text(raw.arch),
    dataset: text(raw.dataset),
    mode: text(raw.mode),
    density: number(raw.density),
    best: { epoch: number(best.epoch), testRa: number(best.testRa), testSa: number(best.testSa), valRa: number(best.valRa) },
    final: { testRa: number(final.testRa), testSa: number(final.testSa) },
    gap: { trainRa: number(gap.trainRa), testRa: number(gap.testRa), gap: number(gap.gap) },
    flops: {
      inferenceDense: number(flops.inferenceDense),
      inferenceReal: number(flops.inferenceReal),
      trainingDense: number(flops.trainingDense),
      trainingReal: number(flops.trainingReal),
      formula: text(flops.formula),
    },
    adapter: text(raw.adapter),
    seconds: number(raw.seconds),
    seed: number(raw.seed),
    ...(raw.pruning !== undefined && { stages: `${text(raw.stage1) || 'pretrained'}, ${text(raw.pruning)}` }),
  };
}
