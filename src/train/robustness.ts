/** Accuracy of a checkpoint under attacks, crafted on itself or on another checkpoint: what `sparrow eval` and `sparrow attack` do. */
import { type EnsembleName, ensemble, ensembleNames, type Stage, type StageName, stage } from '../adv/autoattack.ts';
import { predict } from '../adv/batch.ts';
import { crossEntropyLoss, cwLoss, type Forward, fgsm, inputGradient, pgd } from '../adv/pgd.ts';
import { attackSurvivors, type LabelledImages } from '../adv/survivors.ts';
import { DeviceSplit } from '../data/device-split.ts';
import { largestFile } from '../data/files.ts';
import { type DataSet, openDataSet } from '../data/index.ts';
import type { Device } from '../device/index.ts';
import { SparrowError, UsageError } from '../errors.ts';
import { Random, Stream } from '../tensor/philox.ts';
import { capture, scope, type Tensor } from '../tensor/tensor.ts';
import type { EvalResult, RunHooks } from './api.ts';
import { type Attack, attacksOf, ballOf, type EvalSettings, pgdOf } from './attack-settings.ts';
import { openTunedDevice } from './kernels.ts';
import { loadNetwork, type NetworkFile, readNetworkFile } from './network-file.ts';

/** Attack steps between waits for the device. */
const STEPS_IN_FLIGHT = 8;
/** The draws of the evaluation's random starts: those of the evaluation in training. */
const PGD_DRAWS = 2 ** 16;
/** The draws of the parameter-free attacks. */
const ENSEMBLE_DRAWS = 2 ** 40;

/** Images under attack on the host, with the logits that the scored network gives them. */
export interface AttackedImages {
  /** [N, C, H, W] */
  readonly shape: readonly number[];
  readonly adv: Float32Array;
  readonly labels: Int32Array;
  readonly classes: number;
  /** [N, K] */
  readonly logits: Float32Array;
}

export interface Robustness {
  readonly result: EvalResult;
  /** The images of the last attack; only where they were asked for. */
  readonly images?: AttackedImages;
}

/** Bytes of a file of attacked images besides its tensors. */
const HEADER = 2 ** 12;

/**
 * Refuses, before anything is crafted, images that one file cannot hold: of each sample float32 pixels [C, H, W] and logits [K] and
 * an int64 label. @throws SparrowError saying how many samples it can hold
 */
export function checkHeld(count: number, shape: readonly number[], classes: number, largest = largestFile): void {
  const sample = 4 * (shape.reduce((a, b) => a * b) + classes) + 8;
  const most = Math.floor((largest - HEADER) / sample);
  if (count <= most) return;
  const [wanted, held] = [count * sample, largest].map(bytes => (bytes / 2 ** 30).toFixed(1));
  throw new SparrowError(
    `${count} attacked images take ${wanted} GiB, more than the ${held} GiB of one file: use at most --limit ${most}`,
  );
}

/**
 * Scores a checkpoint.
 * @param keepImages whether the attacked images are handed back
 * @throws UsageError and FileError for what is wrong with settings, data or checkpoints; SparrowError where an attack needs more classes
 * or there are more images than a file can hold
 */
export async function scoreRobustness(settings: EvalSettings, hooks: RunHooks = {}, keepImages = false): Promise<Robustness> {
  const victim = readNetworkFile(settings.checkpoint!);
  const source = settings.transferFrom === undefined ? victim : readNetworkFile(settings.transferFrom);
  const data = await openSplit(settings, settings.dataset ?? victim.metadata.dataset, hooks);
  if (keepImages) checkHeld(data[settings.split as 'test'].count, data.shape, data.classes.length);
  // in a transfer --arch, --width and the factors are those of the file that does not name its own, else of the one that is scored
  const named = ({ metadata }: NetworkFile) => metadata.arch !== undefined;
  const askedOf = (file: NetworkFile) => (!named(file) || (file === victim && named(source)) ? settings : {});
  const device = await openTunedDevice(settings, hooks);
  try {
    const forwardOf = (file: NetworkFile): Forward => {
      const network = loadNetwork(device, file, data, askedOf(file), hooks);
      return x => network.forward(x);
    };
    const scored = forwardOf(victim);
    const crafting = source === victim ? scored : forwardOf(source);
    const run = new Evaluation(device, data, settings, scored, crafting, hooks, keepImages);
    return await run.all();
  } finally {
    device.close();
  }
}

/** The data set, of which only the asked split has to be whole. @throws UsageError without a name of it */
export function openSplit(settings: SplitSettings, dataset: string | undefined, hooks: RunHooks): Promise<DataSet> {
  const { data, split, limit, checkpoint, skipCorrupt } = settings;
  if (!dataset) throw new UsageError(`--dataset is required: ${checkpoint} does not name its data set`);
  const evaluated = { limit: 1, ...(limit !== undefined ? { evalLimit: limit } : {}) };
  const trained = { evalLimit: 1, ...(limit !== undefined ? { limit } : {}) };
  const cut = split === 'train' ? trained : evaluated;
  return openDataSet({ dataset, ...(data !== undefined ? { data } : {}), ...cut, skipCorrupt }, hooks);
}

type SplitSettings = Pick<EvalSettings, 'data' | 'split' | 'limit' | 'checkpoint' | 'skipCorrupt'>;

/** Which samples are still classified correctly, and where images are kept, what they are now. */
interface Scores {
  readonly correct: boolean[];
  readonly logits: Float32Array;
  readonly images: Float32Array | undefined;
}

/** The evaluation of a network on one split; `scored` and `crafting` are usually the same. */
export class Evaluation {
  private readonly split: DeviceSplit;
  private readonly labels: Int32Array;
  private readonly classes: number;
  private readonly order: Uint32Array;
  private readonly plans: Map<string, { attack: Attack; stages: Stage[] }>;

  constructor(
    private readonly device: Device,
    private readonly data: DataSet,
    private readonly settings: Omit<EvalSettings, 'transferFrom'>,
    private readonly scored: Forward,
    private readonly crafting: Forward,
    private readonly hooks: RunHooks,
    private readonly keepImages: boolean,
  ) {
    const { labels, count } = data[settings.split as 'test'];
    this.split = new DeviceSplit(device, data[settings.split as 'test'], data.shape, settings.seed);
    this.labels = Int32Array.from(labels);
    this.classes = data.classes.length;
    this.order = Uint32Array.from({ length: count }, (_, i) => i);
    // made before the first attack runs: an attack that the model has too few classes for is refused at once
    this.plans = new Map([...attacksOf(settings)].map(([name, attack]) => [name, { attack, stages: this.stagesOf(attack) }]));
  }

  private stagesOf({ kind }: Attack): Stage[] {
    if (['none', 'fgsm', 'pgd', 'cw'].includes(kind)) return [];
    const ball = ballOf(this.settings);
    if (ensembleNames.includes(kind as EnsembleName)) return ensemble(kind as EnsembleName, ball, this.classes);
    return [stage(kind as StageName, ball, this.classes)];
  }

  async all(): Promise<Robustness> {
    const n = this.split.count;
    await this.prepare();
    const clean = this.blank();
    await this.overBatches('clean images', ({ images }) => images, clean);
    const attacks: Record<string, { ra: number; seconds: number }> = {};
    let last = clean;
    for (const [name, { attack, stages }] of this.plans) {
      if (attack.kind === 'none') continue;
      const begun = performance.now();
      last = { correct: [...clean.correct], logits: clean.logits.slice(), images: clean.images?.slice() };
      if (stages.length) await this.survive(name, stages, last);
      else await this.overBatches(name, (batch, index) => this.craft(attack, batch, index), last);
      attacks[name] = { ra: share(last.correct), seconds: (performance.now() - begun) / 1000 };
    }
    const result = { n, sa: share(clean.correct), attacks };
    const { logits, images } = last;
    if (!images) return { result };
    const kept = { shape: [n, ...this.data.shape], adv: images, labels: this.labels, classes: this.classes, logits };
    return { result, images: kept };
  }

  private blank(): Scores {
    const n = this.split.count;
    const images = this.keepImages ? new Float32Array(n * this.data.shape.reduce((a, b) => a * b)) : undefined;
    return { correct: new Array<boolean>(n).fill(false), logits: new Float32Array(n * this.classes), images };
  }

  /** Samples by index. */
  private load(indices: readonly number[]): LabelledImages {
    this.order.set(indices.slice(0, this.order.length));
    this.split.setOrder(this.order);
    this.split.seek(0);
    return scope(this.device, () => this.split.batch(indices.length));
  }

  private batches(): number[][] {
    const { batchSize } = this.settings;
    const n = this.split.count;
    return Array.from({ length: Math.ceil(n / batchSize) }, (_, b) =>
      Array.from({ length: Math.min(batchSize, n - b * batchSize) }, (_, i) => b * batchSize + i),
    );
  }

  /** Compiles the kernels of a step in parallel. */
  private async prepare(): Promise<void> {
    const [first] = this.batches();
    const { images, labels } = this.load(first);
    const step = capture(this.device, () => {
      predict(this.scored, images);
      inputGradient(this.crafting, images, labels, crossEntropyLoss);
    });
    await step.capture.ready();
    step.dispose();
    for (const t of [images, labels]) t.dispose();
  }

  /** Attacks every sample, each batch once, and scores what comes out. */
  private async overBatches(
    label: string,
    craft: (batch: LabelledImages, index: number) => Tensor,
    scores: Scores,
  ): Promise<void> {
    let done = 0;
    for (const [index, indices] of this.batches().entries()) {
      const batch = this.load(indices);
      const adv = scope(this.device, () => craft(batch, index));
      await this.score(indices, adv, scores);
      for (const t of new Set([adv, batch.images, batch.labels])) t.dispose();
      done += indices.length;
      this.hooks.onProgress?.({ label, done, total: this.split.count });
    }
  }

  private craft(attack: Attack, { images, labels }: LabelledImages, index: number): Tensor {
    if (!('steps' in attack)) return fgsm(this.crafting, images, labels, ballOf(this.settings));
    const random = new Random(this.settings.seed, Stream.attack, PGD_DRAWS + index);
    const loss = attack.kind === 'cw' ? cwLoss : crossEntropyLoss;
    return pgd(this.crafting, images, labels, pgdOf(this.settings, attack.steps), random, {}, loss);
  }

  /** Attacks in stages those samples that the crafting network classifies correctly. */
  private async survive(name: string, stages: Stage[], scores: Scores): Promise<void> {
    const { hooks, settings } = this;
    const n = this.split.count;
    const survivors = await this.correctOnSource(scores);
    const touched = new Set<number>();
    const title = (part: string) => (part.startsWith(name) ? part : `${name}: ${part}`);
    let steps = 0;
    await attackSurvivors(
      this.crafting,
      indices => this.load(indices),
      survivors,
      stages,
      Math.min(settings.batchSize, n),
      new Random(settings.seed, Stream.attack, ENSEMBLE_DRAWS),
      {
        onStep: async (part, done, total) => {
          if (++steps % STEPS_IN_FLIGHT === 0) await this.device.sync();
          const fields = { RA: percent(share(scores.correct)) };
          hooks.onProgress?.({ label: title(part), done, total, fields });
        },
        onBatch: (indices, adv, fooled) => {
          // a later attempt that fails does not replace an earlier one
          const replaced = (i: number) => fooled[i] || !touched.has(indices[i]);
          const taken = indices.map((_, i) => replaced(i));
          for (const i of indices) touched.add(i);
          return this.score(indices, adv, scores, taken);
        },
        onRun: (part, done, total, left) => {
          if (done < total || stages.length === 1) return;
          hooks.onNotice?.(`${name}: after ${part} ${left} of ${n} images survive, RA ${percent(share(scores.correct))}`);
        },
      },
    );
  }

  /** The samples that the crafting network classifies correctly. */
  private async correctOnSource(scores: Scores): Promise<number[]> {
    const correct = [...scores.correct];
    if (this.crafting !== this.scored) {
      for (const indices of this.batches()) {
        const { images, labels } = this.load(indices);
        const logits = predict(this.crafting, images);
        const values = await logits.floats();
        for (const [i, sample] of indices.entries()) correct[sample] = this.isCorrect(values, i, sample);
        for (const t of [images, labels, logits]) t.dispose();
      }
    }
    return correct.flatMap((right, i) => (right ? [i] : []));
  }

  /** Notes what the scored network makes of the first images of a batch, or of those of them that `taken` chooses. */
  private async score(indices: readonly number[], adv: Tensor, scores: Scores, taken?: readonly boolean[]): Promise<void> {
    const logits = predict(this.scored, adv);
    const values = await logits.floats();
    const pixels = scores.images && (await adv.floats());
    logits.dispose();
    const size = this.data.shape.reduce((a, b) => a * b);
    for (const [i, sample] of indices.entries()) {
      if (taken && !taken[i]) continue;
      scores.correct[sample] = this.isCorrect(values, i, sample);
      scores.logits.set(values.subarray(i * this.classes, (i + 1) * this.classes), sample * this.classes);
      // x + d may round to one unit of the last place above 1
      scores.images?.set(
        pixels!.subarray(i * size, (i + 1) * size).map(v => Math.min(Math.max(v, 0), 1)),
        sample * size,
      );
    }
  }

  /** Whether row i of logits [N, K] is largest at the label of `sample`, and there first. */
  private isCorrect(logits: Float32Array, i: number, sample: number): boolean {
    const row = logits.subarray(i * this.classes, (i + 1) * this.classes);
    return row.indexOf(Math.max(...row)) === this.labels[sample];
  }
}

const share = (flags: readonly boolean[]) => flags.filter(Boolean).length / flags.length;
const percent = (fraction: number) => `${(100 * fraction).toFixed(2)} %`;
