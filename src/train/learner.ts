/**
 * What training changes, and a checkpoint therefore holds: the network, its optimiser, its masks, its average, and what the
 * training mode keeps between steps.
 */

import { noGrad } from '../autograd/tape.ts';
import type { DeviceSplit } from '../data/device-split.ts';
import { readFileBytes } from '../data/files.ts';
import type { DataSet } from '../data/index.ts';
import type { Device } from '../device/index.ts';
import { FileError, SparrowError, UsageError } from '../errors.ts';
import { layerMacs } from '../nn/macs.ts';
import type { Module } from '../nn/module.ts';
import { Sgd } from '../nn/optim.ts';
import { readState, writeState } from '../nn/state.ts';
import { deathNeeds } from '../sparse/death/index.ts';
import { assertReachable } from '../sparse/densities/index.ts';
import { growthNeeds } from '../sparse/growth/index.ts';
import { type DenseTensors, Masks } from '../sparse/masks.ts';
import { initialiseBySaliency } from '../sparse/saliency/index.ts';
import { capture, empty, type Tensor } from '../tensor/tensor.ts';
import type { LayerMacs } from './accounting.ts';
import { Average } from './average.ts';
import {
  assertFinite,
  assertIdentity,
  assertNormalisation,
  assertTensors,
  type Checkpoint,
  decodeCheckpoint,
  decodeWeights,
  type HostTensors,
  type Identity,
  type Origin,
  type Weights,
} from './checkpoint.ts';
import { attackSettings, maskRule, type TrainConfig } from './config.ts';
import type { Ticket } from './imp.ts';
import { initialiseMasks } from './initial-masks.ts';
import type { PlannedUpdate } from './mask-updates.ts';
import { networkIdentity } from './model.ts';
import type { ModeSettings } from './modes/index.ts';
import { createNetwork, type MadeNetwork, maskableWeights } from './network.ts';
import { isMasked, type NetworkFile } from './network-file.ts';
import { Trainer } from './trainer.ts';

/** What a mask update works on. */
export interface MaskedState {
  readonly masks: Masks;
  /** The optimiser's momentum by parameter name. */
  readonly velocity: ReadonlyMap<string, Tensor>;
  readonly model: Module;
  readonly update: PlannedUpdate;
  /** What its rules rank by. */
  readonly dense: DenseTensors;
}

/** Called before and after every mask update. */
export type OnMaskUpdate = (when: 'before' | 'after', state: MaskedState) => Promise<void>;

export class Learner {
  readonly model: Module;
  readonly masks: Masks | undefined;
  readonly trainer: Trainer;
  readonly modeSettings: ModeSettings;
  /** What identifies the model; its width is the thinner one with `--scale`. */
  private readonly network: ReturnType<typeof networkIdentity> & Pick<Identity, 'widths'>;
  /** With `--ema` the averaged network, which is what is scored. */
  private readonly average: Average | undefined;
  private readonly optimiser: Sgd;
  /** Of a pruned network. */
  private readonly whole: MadeNetwork['whole'];

  /** @param origin the file that the weights will come from, if they do: the network has the channels that are left there */
  constructor(
    private readonly device: Device,
    private readonly data: DataSet,
    private readonly config: TrainConfig,
    private readonly train: DeviceSplit,
    origin: Origin | undefined,
  ) {
    const { seed, awpGamma, beta, replays } = config;
    const { model, width, widths, whole } = createNetwork(device, data, config, origin);
    this.model = model;
    this.whole = whole;
    this.network = { ...networkIdentity({ ...config, width }), ...(widths && { widths }) };
    this.average =
      config.ema === undefined ? undefined : new Average(model, createNetwork(device, data, config, origin).model, config.ema);
    this.modeSettings = { smoothing: config.labelSmoothing, beta, awpGamma, replays };
    const { lr, momentum, weightDecay, nesterov } = config;
    this.optimiser = new Sgd(model.parameters(), { lr, momentum, weightDecay, nesterov });
    if (maskRule(config) !== 'dense') {
      this.masks = new Masks(model, seed);
      this.optimiser.masks = this.masks.masks;
      if (this.ranksBy('momentum')) this.optimiser.keepDenseVelocity(this.masks.masks.keys());
    }
    this.trainer = new Trainer(device, model, this.optimiser, train, {
      mode: config.mode,
      settings: this.modeSettings,
      batchShape: [config.batchSize, ...data.shape],
      average: this.average,
      attack: attackSettings(config, 'train'),
      augment: config.augment ? data.augment : undefined,
      seed,
      keepGradients: this.ranksBy('gradient') ? [...this.masks!.masks.keys()] : [],
    });
  }

  /** The network that is evaluated. */
  get scored(): Module {
    return this.average?.averaged ?? this.model;
  }

  /** Whether masks move in this run. */
  get moves(): boolean {
    return !['dense', 'fixed', 'imp'].includes(maskRule(this.config));
  }

  /** Whether masks move by a rule that ranks by a tensor, which has to be kept. */
  private ranksBy(what: 'gradient' | 'momentum'): boolean {
    return this.moves && (growthNeeds(this.config.growth) === what || deathNeeds(this.config.death) === what);
  }

  /** Takes effect for the steps that follow. */
  setLr(lr: number): void {
    this.optimiser.setLr(lr);
  }

  /** The maskable weights that are left when channels were removed, as a part of all. */
  get remaining(): number {
    return this.whole ? maskableWeights(this.model) / this.whole.weights : 1;
  }

  /** The weights that are active, as a part of all maskable ones, those of removed channels included. */
  get density(): number {
    return this.remaining * (this.masks?.density() ?? 1);
  }

  /** Multiply-adds of one image, now and with all channels. */
  macs(): LayerMacs {
    const now = layerMacs(this.device, this.model, this.data.shape);
    return { now, whole: this.whole?.macs ?? now };
  }

  /** Starts from the weights of a checkpoint or a state_dict: those of the origin. */
  startFrom(file: NetworkFile): void {
    const { path, model } = file;
    if (this.config.sparseInit === 'omp' && isMasked(file))
      throw new FileError(`${path}: has masks; --sparse-init omp prunes a dense checkpoint`);
    this.load(model, path);
  }

  private load(tensors: HostTensors, source: string): void {
    const shapes = new Map([...this.model.state()].map(([name, t]) => [name, t.shape]));
    assertTensors(tensors, shapes, source);
    assertFinite(tensors, source);
    writeState(this.model, tensors, source);
  }

  /** The beginning of a new run: the initial masks, or those of a ticket. @returns the epoch to begin with */
  async begin(ticket: Ticket | undefined): Promise<number> {
    const { masks, model, config, data, train } = this;
    this.assertTrainable();
    let epoch = 0;
    if (ticket) epoch = await this.adopt(ticket);
    else if (masks && config.imp)
      assertReachable(masks.layers, config.density, 1); // dense now, but the last round is not
    else if (masks) await initialiseMasks(masks, model, train, data, config);
    this.average?.restart();
    return epoch;
  }

  /** @throws UsageError where images are too small, or batch norm would see one value a channel in a batch that has one image */
  private assertTrainable(): void {
    const { device, model, data, config, train } = this;
    const record = (n: number) => capture(device, () => noGrad(() => model.forward(empty(device, [n, ...data.shape])))).dispose();
    record(2);
    const last = train.count % config.batchSize || Math.min(config.batchSize, train.count);
    if (last > 1) return;
    try {
      record(1);
    } catch (error) {
      if (!(error instanceof SparrowError)) throw error;
      throw new UsageError(
        `--batch-size ${config.batchSize}: the last batch of ${train.count} images would have 1, too few for batch norm where maps are 1x1; choose another --batch-size or --limit`,
      );
    }
  }

  /** Masks of the largest weights of one checkpoint, weights of another, whose epoch is returned. */
  private async adopt({ trained, density, rewind }: Ticket): Promise<number> {
    const { model, data } = this;
    this.load(decodeWeights(readFileBytes(trained), trained).model, trained);
    await initialiseBySaliency(this.masks!, 'magnitude', { model, samples: [], shape: data.shape, density });
    const start = decodeCheckpoint(readFileBytes(rewind), rewind);
    this.load(start.model, rewind);
    this.masks!.apply();
    return start.epoch;
  }

  /** One mask update. Rules that rank by gradient look at the last step. */
  async updateMasks(update: PlannedUpdate, onUpdate: OnMaskUpdate | undefined): Promise<void> {
    const { model, average } = this;
    const masks = this.masks!;
    const { velocity, denseVelocity } = this.optimiser;
    const dense = { gradient: this.trainer.gradients(), momentum: denseVelocity };
    await onUpdate?.('before', { masks, velocity, model, update, dense });
    await masks.update(update, dense, velocity);
    average?.apply(masks.masks);
    await onUpdate?.('after', { masks, velocity, model, update, dense });
  }

  /** Everything that a checkpoint holds of this. @param within the epoch is not complete */
  async snapshot(within: boolean): Promise<Weights & Identity & Pick<Checkpoint, 'normalisation' | 'random'>> {
    const { config, data, masks, optimiser, average, trainer } = this;
    const read = async (tensors: ReadonlyMap<string, Tensor>) => {
      const out: HostTensors = new Map();
      for (const [name, t] of tensors) out.set(name, { shape: t.shape, data: await t.floats() });
      return out;
    };
    return {
      ...this.network,
      dataset: config.dataset,
      classes: data.classes.length,
      shape: data.shape,
      normalisation: { mean: data.mean, std: data.std },
      model: await readState(this.model),
      masks: await read(masks?.masks ?? new Map()),
      fired: await read(masks?.fired ?? new Map()),
      ...(masks && within && this.moves ? { earlierMasks: await read(masks.earlier) } : {}),
      momentum: await read(optimiser.velocity),
      denseMomentum: await read(optimiser.denseVelocity),
      ...(average ? { ema: await readState(average.averaged) } : {}),
      ...(trainer.state.size ? { modeState: await read(trainer.state) } : {}),
      random: { seed: config.seed, maskDraw: masks?.draw ?? 0 },
    };
  }

  /** Becomes what a checkpoint holds. @throws FileError, naming `source`, if it is of another network or method */
  restore(checkpoint: Checkpoint, source: string): void {
    const { dataset } = this.config;
    assertIdentity(checkpoint, { ...this.network, dataset, classes: this.data.classes.length }, source);
    assertNormalisation(checkpoint, this.data, source);
    this.load(checkpoint.model, source);
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
    this.masks?.restore(flat(checkpoint.masks), flat(checkpoint.fired), maskDraw, flat(checkpoint.earlierMasks ?? new Map()));
    if (this.masks) average?.apply(this.masks.masks);
  }

  dispose(): void {
    this.trainer.dispose();
    this.masks?.dispose();
    this.optimiser.dispose();
    this.average?.averaged.dispose();
    this.model.dispose();
  }
}
