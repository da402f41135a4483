/**
 * The loop of a training run: epochs of captured steps, mask updates, validation and test after each epoch, checkpoints.
 *
 * Everything random is a function of the seed, the epoch and the iteration, so a run that is resumed gives the same bits as one
 * that was never interrupted.
 */
import { DeviceSplit } from '../data/device-split.ts';
import type { DataSet } from '../data/index.ts';
import type { Device } from '../device/index.ts';
import { SparrowError } from '../errors.ts';
import { cyclic, multiStep } from '../nn/schedule.ts';
import { Random, Stream } from '../tensor/philox.ts';
import { countWork } from './accounting.ts';
import type { ColdStart, RunHooks, TrainOutcome, TrainResult } from './api.ts';
import type { Checkpoint, HostTensors, Origin } from './checkpoint.ts';
import { attackSettings, type TrainConfig } from './config.ts';
import { Evaluator } from './evaluator.ts';
import type { RunFolder } from './folder.ts';
import type { Round } from './imp.ts';
import { defaultLabel } from './label.ts';
import { Learner, type OnMaskUpdate } from './learner.ts';
import { idleNotice, plannedUpdate, rateAt, updatesOver } from './mask-updates.ts';
import type { EpochHistory, EpochMetrics } from './metrics.ts';
import { trainingModes } from './modes/index.ts';
import type { NetworkFile } from './network-file.ts';
import { summarise } from './result.ts';
import { saveSamples } from './samples.ts';
import { startNotices } from './start-notices.ts';

/** Checkpoints within an epoch: at least this often. */
const SAVE_ITERATIONS = 200;
const SAVE_SECONDS = 300;
/** Steps that may wait on the device before the loop waits for them. */
const IN_FLIGHT = 2;

export interface LoopOptions {
  /** Learning rate by epoch (fractional); by default MultiStep of the configuration. */
  schedule?: (epoch: number) => number;
  /** What the run is called. */
  label?: string;
  onMaskUpdate?: OnMaskUpdate;
  watch?: EpochWatch;
  /** Adds to the result what only the caller knows: `result.json` is written once, with it. Not for `--imp`, which adds up its rounds so. */
  readonly complete?: Complete;
}

/** From the result of a run alone to what its `result.json` holds. */
export type Complete = (result: TrainResult) => TrainResult;

/** What a loop is told beside its settings. */
interface LoopContext extends LoopOptions, Round {
  /** The file that the network comes from: what it starts with, or the checkpoint that it goes on from. */
  readonly origin: Origin | undefined;
  /** When the run began, in the time of `performance.now()`. */
  readonly begun: number;
}

/** Looks at the network after every epoch, and may end the run before its last. */
export interface EpochWatch {
  /** The run begins, or goes on, with so many epochs complete. */
  begin(epochs: number): void;
  /**
   * An epoch (from 0) is complete. Its checkpoint is written after this: what is kept here must allow for a kill between the two.
   */
  see(epoch: number, model: HostTensors): void;
  /** Whether the run ends here. */
  readonly over: boolean;
}

/** What the loop keeps between steps beside tensors; saved in checkpoints. */
interface LoopState {
  /** Iterations done in the current epoch. */
  done: number;
  bestRa: number;
  bestSa: number;
  /** Sums of the epoch so far: see `Tally`. */
  tally: number[];
  /** Time that was spent on the current epoch before it was taken up again. */
  seconds: number;
  events: NonNullable<EpochHistory['events']>[number][];
}

export class Loop {
  private readonly learner: Learner;
  private readonly evaluator: Evaluator;
  private readonly splits: Record<'train' | 'val' | 'test', DeviceSplit>;
  private readonly schedule: (epoch: number) => number;
  private readonly perEpoch: number;
  private history: EpochHistory[] = [];
  private epoch = 0;
  private state: LoopState = { done: 0, bestRa: -1, bestSa: -1, tally: [0, 0, 0, 0], seconds: 0, events: [] };
  /** When the current epoch began or was taken up again, in milliseconds. */
  private epochBegun = performance.now();
  /** Of the complete epochs, also those before a resume. */
  private seconds = 0;
  private lastSave = performance.now();
  /** Whether this run has a checkpoint, its own or the one it resumed. */
  private saved = false;
  private readonly inFlight: Promise<unknown>[] = [];
  private firstStep: ColdStart | undefined;

  constructor(
    private readonly device: Device,
    private readonly data: DataSet,
    private readonly config: TrainConfig,
    private readonly folder: RunFolder,
    private readonly hooks: RunHooks,
    private readonly options: LoopContext,
  ) {
    const { seed } = config;
    const upload = (name: 'train' | 'val' | 'test') => new DeviceSplit(device, data[name], data.shape, seed);
    this.splits = { train: upload('train'), val: upload('val'), test: upload('test') };
    this.learner = new Learner(device, data, config, this.splits.train, options.origin);
    this.evaluator = new Evaluator(device, this.learner.scored, attackSettings(config, 'test'), seed);
    this.perEpoch = Math.ceil(data.train.count / config.batchSize);
    this.schedule = options.schedule ?? this.scheduleOf(config);
  }

  /** By fractional epoch. A cyclic rate is that of the step's end: the first step already moves. */
  private scheduleOf({ lr, lrSchedule, decreasingLr, epochs }: TrainConfig): (epoch: number) => number {
    if (lrSchedule === 'multistep') return multiStep(lr, decreasingLr);
    const rate = cyclic(lr, epochs);
    return epoch => rate(epoch + 1 / this.perEpoch);
  }

  /**
   * The beginning of a new run. Settings that its network cannot have are refused before anything is written.
   * @param start weights to begin with, those of the origin
   */
  async begin(start: NetworkFile | undefined): Promise<void> {
    const { ticket, keepEpoch, watch } = this.options;
    if (start) {
      this.learner.startFrom(start);
      for (const notice of startNotices(start, this.data, this.config, this.learner.remaining)) this.hooks.onNotice?.(notice);
    }
    this.epoch = await this.learner.begin(ticket);
    this.folder.prepare();
    const empty = this.learner.masks?.emptyLayers ?? [];
    if (empty.length > 0)
      this.hooks.onNotice?.(
        `the initial mask leaves no weight of ${empty.join(', ')}: nothing passes there; --density is too low for it`,
      );
    const { moves, masks } = this.learner;
    const idle = moves ? idleNotice(this.config, this.perEpoch, this.updatesOfBatch, masks!.density()) : undefined;
    if (idle) this.hooks.onNotice?.(idle);
    if (keepEpoch === 0) this.folder.saveCheckpoint(await this.checkpoint(), 'rewind');
    this.folder.restoreMetrics([]);
    watch?.begin(this.epoch);
  }

  /** Goes on from the checkpoint of a folder, this run's or another one's. */
  restore(checkpoint: Checkpoint, source: RunFolder): void {
    this.learner.restore(checkpoint, source.file('checkpoint.safetensors'));
    this.folder.prepare();
    this.history = [...checkpoint.history];
    this.epoch = checkpoint.epoch;
    this.saved = true;
    this.state = { ...this.state, ...(structuredClone(checkpoint.state) as LoopState) };
    this.firstStep = source.loadResult()?.firstStep; // there is a result only where no step is left
    this.learner.trainer.tally.sums.write(this.state.tally);
    this.seconds = this.folder.restoreMetrics(this.history, source);
    this.options.watch?.begin(this.epoch);
    const at = this.state.done ? `, iteration ${this.state.done} of ${this.perEpoch}` : '';
    if (this.epoch < this.config.epochs) this.hooks.onNotice?.(`resuming at epoch ${this.epoch}${at}`);
  }

  async train(): Promise<TrainOutcome> {
    while (this.epoch < this.config.epochs && !this.options.watch?.over) {
      this.epochBegun = performance.now();
      const first = this.state.done;
      if (!(await this.trainEpoch())) return this.interrupted();
      const images = this.data.train.count - first * this.config.batchSize;
      const speed = first < this.perEpoch ? images / ((performance.now() - this.epochBegun) / 1000) : undefined;
      const metrics = await this.closeEpoch(speed);
      if (!metrics) return this.interrupted();
      this.hooks.onEpoch?.(metrics, this.config.mode);
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
    const { config, perEpoch, learner } = this;
    const count = this.data.train.count;
    if (config.shuffle) this.splits.train.setOrder(new Random(config.seed, Stream.shuffle, this.epoch).permutation(count));
    const fields: Record<string, string> = {};
    const begun = performance.now();
    const from = this.state.done;
    while (this.state.done < perEpoch) {
      const position = this.state.done * config.batchSize;
      const iteration = this.epoch * perEpoch + this.state.done;
      const within = this.options.schedule || config.lrSchedule === 'cyclic';
      learner.setLr(this.schedule(within ? iteration / perEpoch : this.epoch));
      await learner.trainer.step(position, Math.min(config.batchSize, count - position), iteration);
      this.firstStep ??= await this.coldStart(begun);
      this.state.done++;
      if (learner.moves) await this.updateMasks(iteration + 1);
      await this.throttle();
      if (this.state.done % config.printFreq === 0 || this.state.done === perEpoch) await this.observe(fields);
      const done = this.state.done - from;
      fields['images/s'] = ((done * config.batchSize) / ((performance.now() - begun) / 1000)).toFixed(0);
      this.hooks.onProgress?.({
        label: this.epochLabel,
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

  /** Waits for the first step, and says how long it took to come. @param opened when all was ready for it */
  private async coldStart(opened: number): Promise<ColdStart> {
    await this.device.submitted();
    const seconds = (until: number) => (until - this.options.begun) / 1000;
    const compiling = this.learner.trainer.preparation / 1000;
    const start = { seconds: seconds(performance.now()), opening: seconds(opened), compiling };
    this.hooks.onFirstStep?.(start);
    return start;
  }

  /** The epoch as every file and flag counts it: `epoch 0 of 0-199` is the first. */
  private get epochLabel(): string {
    return `epoch ${this.epoch} of 0-${this.config.epochs - 1}`;
  }

  /** Lets the device work ahead, but not without bound. */
  private async throttle(): Promise<void> {
    this.inFlight.push(this.device.submitted());
    if (this.inFlight.length > IN_FLIGHT) await this.inFlight.shift();
  }

  /** Reads the running sums; stops the run where the loss is no number. */
  private async observe(fields: Record<string, string> = {}) {
    const totals = await this.learner.trainer.tally.read();
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

  /** Optimiser steps on a batch. */
  private get updatesOfBatch(): number {
    return trainingModes[this.config.mode].updates?.(this.learner.modeSettings) ?? 1;
  }

  /** The mask update that is due after so many iterations, if one is. */
  private async updateMasks(done: number): Promise<void> {
    const { config, epoch, history, learner, perEpoch, updatesOfBatch: updates } = this;
    const planned = plannedUpdate(config, { done, perEpoch, total: config.epochs * perEpoch, updates, epoch, history });
    if (!planned) return;
    const { update, deciding } = planned;
    await learner.updateMasks(update, this.options.onMaskUpdate);
    const { prune, grow } = update.decisions;
    this.state.events.push({ iteration: done, rate: update.rate, prune, grow, density: learner.density });
    if (deciding)
      this.hooks.onNotice?.(`mask update at iteration ${done}: prune ${prune ? 'yes' : 'no'}, grow ${grow ? 'yes' : 'no'}`);
  }

  /** Validation and test, metrics, best checkpoints. Undefined: asked to stop. */
  private async closeEpoch(imagesPerSecond: number | undefined): Promise<EpochMetrics | undefined> {
    const { epoch } = this;
    const train = await this.observe();
    const score = (name: 'val' | 'test') =>
      this.evaluate(name, `${this.epochLabel}, ${name}`, 2 * epoch + (name === 'val' ? 0 : 1));
    const val = await score('val');
    const test = val && (await score('test'));
    if (!val || !test) return undefined;
    const history: EpochHistory = {
      epoch,
      trainRa: train.accuracy,
      valSa: val.sa,
      valRa: val.ra,
      valLoss: val.loss,
      testSa: test.sa,
      testRa: test.ra,
      lr: this.schedule(epoch),
      ...(await this.describeMasks()),
    };
    this.history.push(history);
    this.epoch++;
    const [ra, sa] = [val.ra > this.state.bestRa, val.sa > this.state.bestSa];
    const metrics = { ...history, imagesPerSecond, seconds: this.epochSeconds };
    this.seconds += metrics.seconds;
    this.state = {
      done: 0,
      bestRa: Math.max(val.ra, this.state.bestRa),
      bestSa: Math.max(val.sa, this.state.bestSa),
      tally: [0, 0, 0, 0],
      seconds: 0,
      events: [],
    };
    this.learner.trainer.tally.reset();
    const checkpoint = await this.checkpoint();
    this.options.watch?.see(epoch, checkpoint.model);
    const { ema, ...rest } = checkpoint;
    const best = ema ? { ...rest, model: ema } : checkpoint;
    if (ra) this.folder.saveCheckpoint(best, 'best-ra');
    if (sa) this.folder.saveCheckpoint(best, 'best-sa');
    if (this.epoch === this.options.keepEpoch) this.folder.saveCheckpoint(checkpoint, 'rewind');
    this.folder.saveCheckpoint(checkpoint);
    this.folder.appendMetrics(metrics);
    this.saved = true;
    this.lastSave = performance.now();
    return metrics;
  }

  /** Of the current epoch, in all processes that worked on it. */
  private get epochSeconds(): number {
    return this.state.seconds + (performance.now() - this.epochBegun) / 1000;
  }

  /** What the current epoch's metrics say of the masks as it ends. */
  private async describeMasks(): Promise<
    Pick<EpochHistory, 'density' | 'deathRate' | 'fired' | 'maskDistance' | 'layers' | 'events'>
  > {
    const { config, perEpoch, epoch } = this;
    const { masks, moves } = this.learner;
    const [done, total] = [(epoch + 1) * perEpoch, config.epochs * perEpoch];
    if (!masks) return { density: this.learner.density, deathRate: 0, fired: 1 };
    return {
      density: this.learner.density,
      deathRate: moves && !updatesOver(config, done, total) ? rateAt(config, done, total) : 0,
      fired: this.learner.remaining * (await masks.firedRate()),
      ...(moves ? { maskDistance: this.learner.remaining * (await masks.distance()) } : {}),
      layers: masks.layers.map(({ name, size }) => ({ name, nnz: masks.nnz(name), size })),
      events: this.state.events,
    };
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
    const { learner, epoch, state, history } = this;
    const iteration = epoch * this.perEpoch + state.done;
    const snapshot = await learner.snapshot(state.done > 0);
    // the loss that shows it would be that of the next step: too late for the checkpoint that this one replaces
    for (const { data } of snapshot.model.values())
      if (!data.every(Number.isFinite)) throw this.diverged(`the weights became NaN or infinite by iteration ${iteration}`);
    const tally = [...(await learner.trainer.tally.sums.floats())];
    const seconds = state.done > 0 ? this.epochSeconds : 0;
    return { ...snapshot, epoch, iteration, state: { ...state, tally, seconds }, history };
  }

  /** Saves the run as it stands, unless its loss is no number. */
  async save(): Promise<void> {
    if (this.state.done > 0) await this.observe();
    this.folder.saveCheckpoint(await this.checkpoint());
    this.saved = true;
    this.lastSave = performance.now();
  }

  /** The last scores: the gap of the final model, samples for the report, `result.json`. */
  private async finish(): Promise<TrainResult | undefined> {
    const begun = performance.now();
    const { config, history, device, data, learner, splits } = this;
    splits.train.setOrder(Uint32Array.from({ length: data.train.count }, (_, i) => i));
    const train = await this.evaluate('train', 'robust generalisation gap', 2 * config.epochs, config.evalLimit);
    if (!train) return undefined;
    const attack = attackSettings(config, 'test');
    await saveSamples(device, learner.scored, splits.test, attack, data, config.seed, this.folder.file('samples.safetensors'));
    const mode = trainingModes[config.mode];
    const images = mode.passes(config.trainStep, learner.modeSettings) * data.train.count;
    const alone = summarise(config, history, {
      label: this.options.label ?? defaultLabel(config),
      flops: countWork(learner.macs(), history, images, mode.passesText),
      adapter: device.adapter.description,
      seconds: this.seconds + (performance.now() - begun) / 1000,
      firstStep: this.firstStep,
      trainRa: train.ra,
    });
    const result = this.options.complete?.(alone) ?? alone;
    this.folder.saveResult(result);
    return result;
  }

  dispose(): void {
    this.learner.dispose();
    this.evaluator.dispose();
    for (const split of Object.values(this.splits)) split.dispose();
  }
}
