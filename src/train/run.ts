/**
 * A training run: epochs of captured steps, mask updates, validation and test after each epoch, checkpoints, resume.
 *
 * Everything random is a function of the seed, the epoch and the iteration, so a run that is resumed gives the same bits as one that was never
 * interrupted.
 */
import { DeviceSplit } from '../data/device-split.ts';
import { readFileBytes } from '../data/files.ts';
import type { DataSet } from '../data/index.ts';
import { type Device, openDevice } from '../device/index.ts';
import { FileError, SparrowError } from '../errors.ts';
import { layerMacs } from '../nn/macs.ts';
import type { Module } from '../nn/module.ts';
import { Sgd } from '../nn/optim.ts';
import { cyclic, multiStep } from '../nn/schedule.ts';
import { readState, writeState } from '../nn/state.ts';
import { growthNeeds } from '../sparse/growth/index.ts';
import { Masks, type UpdateOptions } from '../sparse/masks.ts';
import { initialiseBySaliency } from '../sparse/saliency/index.ts';
import { Random, Stream } from '../tensor/philox.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { countWork } from './accounting.ts';
import type { RunHooks, Score, TrainOutcome, TrainResult } from './api.ts';
import { Average } from './average.ts';
import {
  assertIdentity,
  assertNetwork,
  assertTensors,
  type Checkpoint,
  decodeCheckpoint,
  decodeWeights,
  type HostTensors,
} from './checkpoint.ts';
import { assertSameRun, attackSettings, deviceOptions, maskRule, type TrainConfig } from './config.ts';
import { Evaluator } from './evaluator.ts';
import { RunFolder } from './folder.ts';
import { type Round, trainImp } from './imp.ts';
import { initialiseMasks } from './initial-masks.ts';
import { defaultLabel } from './label.ts';
import { plannedUpdate, rateAt } from './mask-updates.ts';
import type { EpochHistory, EpochMetrics } from './metrics.ts';
import { networkIdentity } from './model.ts';
import { type ModeSettings, type TrainingMode, trainingModes } from './modes/index.ts';
import { createNetwork } from './network.ts';
import { profiled } from './profile.ts';
import { openRunData } from './run-data.ts';
import { saveSamples } from './samples.ts';
import { Trainer } from './trainer.ts';

/** Checkpoints within an epoch: at least this often. */
const SAVE_ITERATIONS = 200;
const SAVE_SECONDS = 300;
/** Steps that may wait on the device before the loop waits for them. */
const IN_FLIGHT = 2;

export interface RunOptions {
  /** A device that the caller opened and closes; by default the run opens its own. */
  device?: Device;
  /** Data that the caller opened. */
  data?: DataSet;
  /** Learning rate by epoch (fractional); by default MultiStep of the configuration. */
  schedule?: (epoch: number) => number;
  /** What the run is called. */
  label?: string;
  /** Called before and after every mask update. */
  onMaskUpdate?: (when: 'before' | 'after', state: MaskedState) => Promise<void>;
}

/** What a mask update works on. */
export interface MaskedState {
  readonly masks: Masks;
  /** The optimiser's momentum by parameter name. */
  readonly velocity: ReadonlyMap<string, Tensor>;
  readonly model: Module;
  readonly update: UpdateOptions;
}

/** Trains a model; saves into `config.saveDir`. */
export function trainRun(config: TrainConfig, hooks: RunHooks = {}, options: RunOptions = {}): Promise<TrainOutcome> {
  if (!config.imp) return oneRun(config, hooks, options);
  return trainImp(config, hooks, (settings, inner, round) => oneRun(settings, inner, options, round));
}

async function oneRun(config: TrainConfig, hooks: RunHooks, options: RunOptions, round: Round = {}): Promise<TrainOutcome> {
  const folder = new RunFolder(config.saveDir!);
  const source = new RunFolder(config.resumeDir ?? config.saveDir!);
  const resuming = config.resume || config.resumeDir !== undefined;
  const saved = resuming ? source.loadConfig() : undefined;
  if (saved) assertSameRun(saved, config, source.path);
  const checkpoint = resuming ? source.loadCheckpoint() : undefined;
  if (resuming && !checkpoint) hooks.onNotice?.(`nothing to resume in ${source.path} yet: starting from the beginning`);
  const data = options.data ?? (await openRunData(config, hooks));
  folder.prepare();
  const device = options.device ?? (await openDevice(deviceOptions(config)));
  if (device.precision !== config.precision) hooks.onNotice?.('--precision f16: the adapter has no matrix units, f32 is used');
  try {
    const run = new Run(device, data, config, folder, hooks, options, round);
    try {
      if (config.init !== undefined) run.startFrom(config.init);
      if (checkpoint) run.restore(checkpoint, source.file('checkpoint.safetensors'));
      else await run.begin();
      folder.saveConfig(config);
      return config.profile ? await profiled(device, hooks, () => run.train()) : await run.train();
    } finally {
      run.dispose();
    }
  } finally {
    if (!options.device) device.close();
  }
}

/** What the loop keeps between steps beside tensors; saved in checkpoints. */
interface LoopState {
  /** Iterations done in the current epoch. */
  done: number;
  bestRa: number;
  bestSa: number;
  /** Sums of the epoch so far: see `Tally`. */
  tally: number[];
  events: NonNullable<EpochHistory['events']>[number][];
}

class Run {
  private readonly model: Module;
  /** What identifies the model; its width is the thinner one with `--scale`. */
  private readonly network: ReturnType<typeof networkIdentity>;
  /** With `--ema` the averaged network, which is what is scored. */
  private readonly average: Average | undefined;
  private readonly mode: TrainingMode;
  private readonly modeSettings: ModeSettings;
  private readonly optimiser: Sgd;
  private readonly masks: Masks | undefined;
  private readonly trainer: Trainer;
  private readonly evaluator: Evaluator;
  private readonly splits: Record<'train' | 'val' | 'test', DeviceSplit>;
  private readonly schedule: (epoch: number) => number;
  private readonly perEpoch: number;
  private history: EpochHistory[] = [];
  private epoch = 0;
  private state: LoopState = { done: 0, bestRa: -1, bestSa: -1, tally: [0, 0, 0, 0], events: [] };
  private readonly started = performance.now();
  private lastSave = performance.now();
  /** Whether this run has a checkpoint, its own or the one it resumed. */
  private saved = false;
  private readonly inFlight: Promise<unknown>[] = [];

  constructor(
    private readonly device: Device,
    private readonly data: DataSet,
    private readonly config: TrainConfig,
    private readonly folder: RunFolder,
    private readonly hooks: RunHooks,
    private readonly options: RunOptions,
    private readonly round: Round,
  ) {
    const { seed, awpGamma, beta, replays } = config;
    const { model, width } = createNetwork(device, data, config);
    this.model = model;
    this.network = networkIdentity({ ...config, width });
    this.average =
      config.ema === undefined ? undefined : new Average(model, createNetwork(device, data, config).model, config.ema);
    this.mode = trainingModes[config.mode];
    this.modeSettings = { smoothing: config.labelSmoothing, beta, awpGamma, replays };
    const { lr, momentum, weightDecay, nesterov } = config;
    this.optimiser = new Sgd(this.model.parameters(), { lr, momentum, weightDecay, nesterov });
    if (maskRule(config) !== 'dense') {
      this.masks = new Masks(this.model, seed);
      this.optimiser.masks = this.masks.masks;
      if (this.growsBy('momentum')) this.optimiser.keepDenseVelocity(this.masks.masks.keys());
    }
    const upload = (name: 'train' | 'val' | 'test') => new DeviceSplit(device, data[name], data.shape, seed);
    this.splits = { train: upload('train'), val: upload('val'), test: upload('test') };
    this.trainer = new Trainer(device, this.model, this.optimiser, this.splits.train, {
      mode: config.mode,
      settings: this.modeSettings,
      batchShape: [config.batchSize, ...data.shape],
      average: this.average,
      attack: attackSettings(config, 'train'),
      augment: config.augment ? data.augment : undefined,
      seed,
      keepGradients: this.growsBy('gradient') ? [...this.masks!.masks.keys()] : [],
    });
    this.evaluator = new Evaluator(device, this.scored, attackSettings(config, 'test'), seed);
    this.perEpoch = Math.ceil(data.train.count / config.batchSize);
    this.schedule = options.schedule ?? this.scheduleOf(config);
  }

  /** The network that is evaluated. */
  private get scored(): Module {
    return this.average?.averaged ?? this.model;
  }

  /** By fractional epoch. A cyclic rate is that of the step's end: the first step already moves. */
  private scheduleOf({ lr, lrSchedule, decreasingLr, epochs }: TrainConfig): (epoch: number) => number {
    if (lrSchedule === 'multistep') return multiStep(lr, decreasingLr);
    const rate = cyclic(lr, epochs);
    return epoch => rate(epoch + 1 / this.perEpoch);
  }

  /** Whether masks move in this run, growing by a tensor that has to be kept. */
  private growsBy(what: 'gradient' | 'momentum'): boolean {
    return this.moves && growthNeeds(this.config.growth) === what;
  }

  private get moves(): boolean {
    return !['dense', 'fixed', 'imp'].includes(maskRule(this.config));
  }

  /** Starts from the weights of a checkpoint or a state_dict. */
  startFrom(path: string): void {
    const { model, masks, metadata } = decodeWeights(readFileBytes(path), path);
    if (this.config.sparseInit === 'omp' && masks.size > 0)
      throw new FileError(`${path}: has masks; --sparse-init omp prunes a dense checkpoint`);
    assertNetwork(metadata, this.network, path);
    this.loadModel(model, path);
  }

  private loadModel(tensors: HostTensors, source: string): void {
    const shapes = new Map([...this.model.state()].map(([name, t]) => [name, t.shape]));
    assertTensors(tensors, shapes, source);
    writeState(this.model, tensors, source);
  }

  /** The beginning of a new run: the initial masks, or those of a round of iterative pruning. */
  async begin(): Promise<void> {
    const { masks, model, config, data, round } = this;
    if (round.ticket) await this.adopt(round.ticket);
    else if (masks && !config.imp) await initialiseMasks(masks, model, this.splits.train, data, config);
    this.average?.restart();
    if (round.keepEpoch === 0) this.folder.saveCheckpoint(await this.checkpoint(), 'rewind');
    this.folder.restoreMetrics([]);
  }

  /** Masks of the largest weights of one checkpoint, weights of another. */
  private async adopt({ trained, density, rewind }: NonNullable<Round['ticket']>): Promise<void> {
    const { model, data } = this;
    this.loadModel(decodeWeights(readFileBytes(trained), trained).model, trained);
    await initialiseBySaliency(this.masks!, 'magnitude', { model, samples: [], shape: data.shape, density });
    const start = decodeCheckpoint(readFileBytes(rewind), rewind);
    this.loadModel(start.model, rewind);
    this.masks!.apply();
    this.epoch = start.epoch;
  }

  restore(checkpoint: Checkpoint, source: string): void {
    const { dataset } = this.config;
    assertIdentity(checkpoint, { ...this.network, dataset, classes: this.data.classes.length }, source);
    this.loadModel(checkpoint.model, source);
    const { velocity, denseVelocity } = this.optimiser;
    const group = (found: HostTensors, wanted: ReadonlyMap<string, { shape: readonly number[] }>, what: string) =>
      assertTensors(found, new Map([...wanted].map(([name, t]) => [name, t.shape])), `${source}: its ${what}`);
    group(checkpoint.momentum, velocity, 'momentum');
    group(checkpoint.denseMomentum, denseVelocity, 'dense momentum');
    group(checkpoint.masks, this.masks?.masks ?? new Map(), 'masks');
    const { average, trainer } = this;
    group(checkpoint.ema ?? new Map(), average?.averaged.state() ?? new Map(), 'averaged weights');
    group(checkpoint.modeState ?? new Map(), trainer.state, 'state of the training mode');
    if (average) writeState(average.averaged, checkpoint.ema!, source);
    for (const [name, t] of trainer.state) t.write(checkpoint.modeState!.get(name)!.data);
    const flat = (tensors: HostTensors) => new Map([...tensors].map(([name, t]) => [name, t.data]));
    for (const [name, v] of velocity) v.write(checkpoint.momentum.get(name)!.data);
    for (const [name, v] of denseVelocity) v.write(checkpoint.denseMomentum.get(name)!.data);
    const { maskDraw } = checkpoint.random as { maskDraw: number };
    this.masks?.restore(flat(checkpoint.masks), flat(checkpoint.fired), maskDraw);
    this.history = [...checkpoint.history];
    this.epoch = checkpoint.epoch;
    this.saved = true;
    this.state = structuredClone(checkpoint.state) as LoopState;
    this.trainer.tally.sums.write(this.state.tally);
    this.folder.restoreMetrics(this.history);
    const at = this.state.done ? `, iteration ${this.state.done} of ${this.perEpoch}` : '';
    if (this.epoch < this.config.epochs) this.hooks.onNotice?.(`resuming at epoch ${this.epoch}${at}`);
  }

  async train(): Promise<TrainOutcome> {
    const { epochs } = this.config;
    while (this.epoch < epochs) {
      const begun = performance.now();
      const first = this.state.done;
      if (!(await this.trainEpoch())) return this.interrupted();
      const images = this.data.train.count - first * this.config.batchSize;
      const speed = images / ((performance.now() - begun) / 1000);
      const metrics = await this.closeEpoch(speed, begun);
      if (!metrics) return this.interrupted();
      this.hooks.onEpoch?.(metrics);
      if (this.hooks.shouldStop?.()) return this.interrupted();
    }
    const result = await this.finish();
    return result ? { interrupted: false, result } : { interrupted: true };
  }

  private async interrupted(): Promise<TrainOutcome> {
    await this.save();
    return { interrupted: true };
  }

  /** The steps of an epoch from where it stands. False: asked to stop. */
  private async trainEpoch(): Promise<boolean> {
    const { config, perEpoch } = this;
    const count = this.data.train.count;
    if (config.shuffle) this.splits.train.setOrder(new Random(config.seed, Stream.shuffle, this.epoch).permutation(count));
    const fields: Record<string, string> = {};
    const begun = performance.now();
    const from = this.state.done;
    while (this.state.done < perEpoch) {
      const position = this.state.done * config.batchSize;
      const iteration = this.epoch * perEpoch + this.state.done;
      this.optimiser.setLr(
        this.schedule(this.options.schedule || config.lrSchedule === 'cyclic' ? iteration / perEpoch : this.epoch),
      );
      await this.trainer.step(position, Math.min(config.batchSize, count - position), iteration);
      this.state.done++;
      if (this.moves) await this.updateMasks(iteration + 1);
      await this.throttle();
      if (this.state.done % config.printFreq === 0 || this.state.done === perEpoch) await this.observe(fields);
      const done = this.state.done - from;
      fields['images/s'] = ((done * config.batchSize) / ((performance.now() - begun) / 1000)).toFixed(0);
      this.hooks.onProgress?.({
        label: `epoch ${this.epoch + 1}/${config.epochs}`,
        done: this.state.done,
        total: perEpoch,
        fields,
      });
      if (this.hooks.shouldStop?.()) return false;
      const due = this.state.done % SAVE_ITERATIONS === 0 || performance.now() - this.lastSave > SAVE_SECONDS * 1000;
      if (due && this.state.done < perEpoch) await this.save();
    }
    return true;
  }

  /** Lets the device work ahead, but not without bound. */
  private async throttle(): Promise<void> {
    this.inFlight.push(this.device.submitted());
    if (this.inFlight.length > IN_FLIGHT) await this.inFlight.shift();
  }

  /** Reads the running sums; stops the run where the loss is no number. */
  private async observe(fields: Record<string, string> = {}) {
    const totals = await this.trainer.tally.read();
    if (totals.nanAt !== undefined) throw this.diverged(`the loss became NaN at iteration ${totals.nanAt}`);
    fields.loss = totals.loss.toFixed(3);
    fields[this.config.mode === 'sgd' ? 'accuracy' : 'RA'] = `${(100 * totals.accuracy).toFixed(1)} %`;
    return totals;
  }

  private diverged(what: string): SparrowError {
    return new SparrowError(
      `${what}${this.saved ? '; the checkpoint from before it is kept' : ''}; lower --lr or check the data`,
    );
  }

  /** The mask update that is due after so many steps, if one is. */
  private async updateMasks(steps: number): Promise<void> {
    const { config, model, average, epoch, history } = this;
    const planned = plannedUpdate(config, { steps, epoch, history, total: config.epochs * this.perEpoch });
    if (!planned) return;
    const { update, deciding } = planned;
    const masks = this.masks!;
    const { velocity, denseVelocity } = this.optimiser;
    const scores = growthNeeds(update.growth) === 'gradient' ? this.trainer.gradients() : denseVelocity;
    await this.options.onMaskUpdate?.('before', { masks, velocity, model, update });
    await masks.update(update, scores, velocity);
    average?.apply(masks.masks);
    await this.options.onMaskUpdate?.('after', { masks, velocity, model, update });
    const { prune, grow } = update.decisions;
    this.state.events.push({ iteration: steps, rate: update.rate, prune, grow, density: masks.density() });
    if (deciding)
      this.hooks.onNotice?.(`mask update at iteration ${steps}: prune ${prune ? 'yes' : 'no'}, grow ${grow ? 'yes' : 'no'}`);
  }

  /** Validation and test, metrics, best checkpoints. Undefined: asked to stop. */
  private async closeEpoch(imagesPerSecond: number, begun: number): Promise<EpochMetrics | undefined> {
    const { config, masks, epoch } = this;
    const train = await this.observe();
    const score = (name: 'val' | 'test') =>
      this.evaluate(name, `epoch ${epoch + 1}/${config.epochs} ${name}`, 2 * epoch + (name === 'val' ? 0 : 1));
    const val = await score('val');
    const test = val && (await score('test'));
    if (!val || !test) return undefined;
    const steps = (epoch + 1) * this.perEpoch;
    const history: EpochHistory = {
      epoch,
      trainRa: train.accuracy,
      valSa: val.sa,
      valRa: val.ra,
      valLoss: val.loss,
      testSa: test.sa,
      testRa: test.ra,
      lr: this.schedule(epoch),
      density: masks?.density() ?? 1,
      deathRate: masks ? rateAt(config, steps, config.epochs * this.perEpoch) : 0,
      fired: masks ? await masks.firedRate() : 1,
      ...(masks
        ? { layers: masks.layers.map(({ name, size }) => ({ name, nnz: masks.nnz(name), size })), events: this.state.events }
        : {}),
    };
    this.history.push(history);
    this.epoch++;
    const [ra, sa] = [val.ra > this.state.bestRa, val.sa > this.state.bestSa];
    this.state = {
      done: 0,
      bestRa: Math.max(val.ra, this.state.bestRa),
      bestSa: Math.max(val.sa, this.state.bestSa),
      tally: [0, 0, 0, 0],
      events: [],
    };
    this.trainer.tally.reset();
    const metrics = { ...history, imagesPerSecond, seconds: (performance.now() - begun) / 1000 };
    const checkpoint = await this.checkpoint();
    const { ema, ...rest } = checkpoint;
    const best = ema ? { ...rest, model: ema } : checkpoint;
    if (ra) this.folder.saveCheckpoint(best, 'best-ra');
    if (sa) this.folder.saveCheckpoint(best, 'best-sa');
    if (this.epoch === this.round.keepEpoch) this.folder.saveCheckpoint(checkpoint, 'rewind');
    this.folder.saveCheckpoint(checkpoint);
    this.folder.appendMetrics(metrics);
    this.saved = true;
    this.lastSave = performance.now();
    return metrics;
  }

  /** Scores the first `limit` samples of a split, un-augmented. */
  private evaluate(name: 'train' | 'val' | 'test', label: string, draw: number, limit = Number.POSITIVE_INFINITY) {
    const split = this.splits[name];
    const total = Math.min(split.count, limit);
    return this.evaluator.score(split, total, this.config.batchSize, draw, done => {
      this.hooks.onProgress?.({ label, done, total });
      return this.hooks.shouldStop?.();
    });
  }

  private async checkpoint(): Promise<Checkpoint> {
    const { config, masks } = this;
    const read = async (tensors: ReadonlyMap<string, { shape: readonly number[]; floats(): Promise<Float32Array> }>) => {
      const out: HostTensors = new Map();
      for (const [name, t] of tensors) out.set(name, { shape: t.shape, data: await t.floats() });
      return out;
    };
    const iteration = this.epoch * this.perEpoch + this.state.done;
    const model = await readState(this.model);
    // the loss that shows it would be that of the next step: too late for the checkpoint that this one replaces
    for (const { data } of model.values())
      if (!data.every(Number.isFinite)) throw this.diverged(`the weights became NaN or infinite by iteration ${iteration}`);
    return {
      ...this.network,
      dataset: config.dataset,
      classes: this.data.classes.length,
      shape: this.data.shape,
      epoch: this.epoch,
      iteration,
      model,
      masks: await read(masks?.masks ?? new Map()),
      fired: await read(masks?.fired ?? new Map()),
      momentum: await read(this.optimiser.velocity),
      denseMomentum: await read(this.optimiser.denseVelocity),
      ...(this.average ? { ema: await readState(this.average.averaged) } : {}),
      ...(this.trainer.state.size ? { modeState: await read(this.trainer.state) } : {}),
      random: { seed: config.seed, maskDraw: masks?.draw ?? 0 },
      state: { ...this.state, tally: [...(await this.trainer.tally.sums.floats())] },
      history: this.history,
    };
  }

  /** Saves the run as it stands, unless its loss is no number. */
  private async save(): Promise<void> {
    if (this.state.done > 0) await this.observe();
    this.folder.saveCheckpoint(await this.checkpoint());
    this.saved = true;
    this.lastSave = performance.now();
  }

  /** The last scores: the gap of the final model, samples for the report, `result.json`. */
  private async finish(): Promise<TrainResult | undefined> {
    const { config, history } = this;
    const last = history.at(-1)!;
    this.splits.train.setOrder(Uint32Array.from({ length: this.data.train.count }, (_, i) => i));
    const train = await this.evaluate('train', 'robust generalisation gap', 2 * config.epochs, config.evalLimit);
    if (!train) return undefined;
    await saveSamples(
      this.device,
      this.scored,
      this.splits.test,
      attackSettings(config, 'test'),
      this.data,
      config.seed,
      this.folder.file('samples.safetensors'),
    );
    const best = history.reduce((a, b) => (b.valRa > a.valRa ? b : a));
    const score = ({ epoch, valRa, testSa, testRa }: EpochHistory): Score => ({ epoch, valRa, testSa, testRa });
    const macs = layerMacs(this.device, this.model, this.data.shape);
    const images = this.mode.passes(config.trainStep, this.modeSettings) * this.data.train.count;
    const flops = countWork(macs, history, images, this.mode.passesText);
    const result: TrainResult = {
      label: this.options.label ?? defaultLabel(config),
      arch: config.arch,
      dataset: config.dataset,
      mode: config.mode,
      density: last.density,
      sparsity: 1 - last.density,
      best: score(best),
      final: score(last),
      difference: { sa: best.testSa - last.testSa, ra: best.testRa - last.testRa },
      gap: { trainRa: train.ra, testRa: last.testRa, gap: train.ra - last.testRa },
      flops,
      adapter: this.device.adapter.description,
      seconds: (performance.now() - this.started) / 1000,
      seed: config.seed,
    };
    this.folder.saveResult(result);
    return result;
  }

  dispose(): void {
    this.trainer.dispose();
    this.evaluator.dispose();
    this.masks?.dispose();
    this.optimiser.dispose();
    for (const split of Object.values(this.splits)) split.dispose();
    this.average?.averaged.dispose();
    this.model.dispose();
  }
}
