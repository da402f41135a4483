/**
 * The settings of a training run: the table behind `sparrow train`, the rules that span several settings, `config.json`, and the
 * check that a resumed run is the same run. Names and defaults are those of the reference implementation's `main_adv.py`, in
 * camelCase; on the command line they are kebab-case or its snake_case.
 */
import { dataSetAliases, dataSetNames } from '../data/index.ts';
import type { OpenOptions, Precision } from '../device/index.ts';
import { FileError, UsageError } from '../errors.ts';
import { architectures } from '../nn/models/names.ts';
import { decisionRatios } from '../sparse/flying-bird.ts';
import { type Method, methods } from '../sparse/methods/index.ts';
import {
  assertSameSettings,
  checkSettings,
  choice,
  flagName,
  integer,
  integerOr,
  number,
  risingIntegers,
  type Settings,
  text,
  toggle,
  withDefaults,
} from './flags.ts';
import { modeDefaults } from './modes/defaults.ts';

/** What is trained on what. */
export const modelFlags = {
  dataset: choice(dataSetNames, { help: 'data set', aliases: dataSetAliases, required: true }),
  data: text({
    help: 'folder of the data (not needed for shapes, which is made)',
    default: undefined,
    placeholder: 'DIR',
    free: true,
  }),
  arch: choice(architectures, {
    help: 'architecture',
    required: true,
    aliases: { vgg11: 'vgg11_bn', vgg13: 'vgg13_bn', vgg16: 'vgg16_bn', vgg19: 'vgg19_bn' },
  }),
  width: integer({ help: 'base width of the network', default: 64, min: 1 }),
  depthFactor: integer({ help: 'depth of wideresnet, 6n + 4', default: 34, min: 1 }),
  widthFactor: integer({ help: 'widening factor of wideresnet', default: 10, min: 1 }),
  init: text({
    help: 'start from the weights of this checkpoint or state_dict (.safetensors, .pth)',
    default: undefined,
    placeholder: 'FILE',
  }),
  scale: number({
    help: 'small-dense: the width at which the dense network has this fraction of its maskable weights',
    default: undefined,
    above: 0,
    max: 1,
  }),
  limit: integer({ help: 'use only the first N training samples', default: undefined, defaultText: 'all', min: 1 }),
  evalLimit: integer({
    help: 'score only the first N samples of validation, of test, and of training for the robust generalisation gap',
    default: undefined,
    defaultText: 'all',
    min: 1,
  }),
  skipCorrupt: toggle({ help: 'leave out image files that cannot be decoded' }),
  augment: toggle({ help: 'train on the images as they are', given: false }),
  shuffle: toggle({ help: 'train in file order', given: false }),
};

/** The names that `--mode` takes. */
export const trainingModeNames = ['pgd', 'sgd', 'fast', 'trades', 'mart', 'awp', 'free'] as const;

/** Optimiser and schedule. */
export const optimiserFlags = {
  precision: choice(['f32', 'f16'], {
    help: 'f16: convolutions round their operands to f16 where the adapter has matrix units; sums and weights stay f32',
    default: 'f32',
  }),
  mode: choice(trainingModeNames, {
    help: 'what is trained on; sgd is standard training, the others are adversarial',
    default: 'pgd',
  }),
  epochs: integer({ help: 'epochs', default: 200, min: 1 }),
  batchSize: integer({ help: 'samples of an optimiser step', default: 128, min: 1 }),
  lr: number({
    help: 'learning rate; the highest of a cyclic schedule',
    default: 0.1,
    defaultText: '0.1; with fast 0.2',
    min: 0,
  }),
  lrSchedule: choice(['multistep', 'cyclic'], {
    help: 'at --decreasing-lr to a tenth, or from 0 up for 2/5 of the epochs and down to 0',
    default: 'multistep',
    defaultText: 'multistep; with fast cyclic',
  }),
  decreasingLr: risingIntegers({
    help: 'epochs at which the learning rate falls to a tenth',
    default: [100, 150],
    placeholder: 'EPOCHS',
  }),
  momentum: number({ help: 'momentum of SGD', default: 0.9, min: 0, below: 1 }),
  nesterov: toggle({ help: "Nesterov's momentum" }),
  weightDecay: number({ help: 'weight decay, on every parameter', default: 5e-4, min: 0 }),
  labelSmoothing: number({ help: 'label smoothing of the trained cross-entropy', default: 0, min: 0, below: 1 }),
  ema: number({
    help: 'average the weights with this decay a step; the average is what is evaluated',
    default: undefined,
    defaultText: 'off',
    placeholder: 'DECAY',
    min: 0,
    below: 1,
  }),
  beta: number({
    help: 'weight of the robust term of trades and mart',
    default: 6,
    defaultText: '6; with mart 5',
    min: 0,
  }),
  awpGamma: number({ help: "awp's weight perturbation, relative to a layer's norm", default: 0.01, min: 0 }),
  replays: integer({ help: 'updates of free on each batch', default: 8, min: 1 }),
  seed: integer({ help: 'seed of every random number', default: 1, min: 0 }),
};

/** Radius and step size in L2, where Linf's 8 and 2 (in 1/255) would mean nothing: Rice et al. (2020), section 3. */
export const l2Radius = 128 / 255;
export const l2Step = 15 / 255;

/** The attacks of training and of evaluation. */
export const attackFlags = {
  norm: choice(['linf', 'l2'], { help: 'norm of the attack; the units of radius and step size follow it', default: 'linf' }),
  trainEps: number({ help: 'radius in training', default: 8, defaultText: '8, in 1/255; with l2 0.502, direct', min: 0 }),
  trainStep: integer({ help: 'iterations in training', default: 10, min: 1 }),
  trainGamma: number({ help: 'step size in training', default: 2, defaultText: '2, in 1/255; with l2 0.0588, direct', min: 0 }),
  testEps: number({ help: 'radius in evaluation', default: 8, defaultText: '8, in 1/255; with l2 0.502, direct', min: 0 }),
  testStep: integer({ help: 'iterations in evaluation', default: 20, min: 1 }),
  testGamma: number({ help: 'step size in evaluation', default: 2, defaultText: '2, in 1/255; with l2 0.0588, direct', min: 0 }),
  trainRandinit: toggle({ help: 'turns the random start of the training attack OFF', given: false, plain: true }),
  testRandinit: toggle({ help: 'turns the random start of the evaluation attack OFF', given: false, plain: true }),
  randinit: toggle({ help: 'turns the random start of both attacks off', given: false, free: true }),
};

/** Masks: which rule, where it starts, how it moves. */
export const sparseFlags = {
  fb: toggle({ help: 'Flying Bird: a dynamic sparse mask' }),
  fbp: toggle({ help: 'Flying Bird+: Flying Bird that adapts its density' }),
  set: toggle({ help: 'SET: dropped by sign, grown at random' }),
  rigl: toggle({ help: 'RigL: dropped by magnitude, grown by gradient' }),
  itop: toggle({ help: 'ITOP: long intervals between updates' }),
  imp: toggle({ help: 'iterative magnitude pruning with rewinding: rounds of --epochs each, the last at --density' }),
  fix: toggle({ help: 'keep the initial mask for the whole run' }),
  density: number({ help: 'fraction of the maskable weights that is kept', default: 0.2, above: 0, max: 1 }),
  sparseInit: choice(['igq', 'uniform', 'erk', 'er', 'random', 'magnitude', 'omp', 'snip', 'grasp', 'synflow'], {
    help: 'the initial mask; omp prunes the dense checkpoint of --init',
    default: 'igq',
    defaultText: 'igq; with --set er, with --rigl and --itop erk',
    aliases: { fixed_ERK: 'erk', ERK: 'erk', ER: 'er' },
  }),
  growth: choice(['random', 'gradient', 'momentum', 'momentum_neuron'], {
    help: 'where weights grow back',
    default: 'random',
    defaultText: 'random; with --rigl gradient',
  }),
  death: choice(['magnitude', 'SET', 'threshold', 'CS_death'], {
    help: 'which weights are dropped; CS_death by connection sensitivity, |weight x gradient|',
    default: 'magnitude',
    defaultText: 'magnitude; with --set SET',
  }),
  deathThreshold: number({ help: '|w| at or below which --death threshold drops a weight', default: 0.001, min: 0 }),
  redistribution: choice(['none', 'momentum', 'magnitude', 'nonzeros'], {
    help: 'what the growth of the layers is shared out by',
    default: 'none',
  }),
  deathRate: number({
    help: 'initial fraction of the weights dropped at an update',
    default: 0.5,
    defaultText: '0.5; with --set and --rigl 0.3',
    min: 0,
    max: 1,
  }),
  decaySchedule: choice(['cosine', 'linear', 'constant'], {
    help: 'how the death rate falls',
    default: 'cosine',
    defaultText: 'cosine; with --set constant',
  }),
  updateFrequency: integerOr('epoch', {
    help: 'optimiser steps between mask updates, or epoch: at the end of each but the last; --mode free takes --replays steps on a batch',
    default: 900,
    defaultText: '900; with --rigl 100, with --itop 1500, with --set epoch',
    min: 1,
  }),
  updateEnd: number({
    help: 'fraction of the run after which masks stay',
    default: 1,
    defaultText: '1; with --rigl 0.75',
    min: 0,
    max: 1,
  }),
  dynamicFre: toggle({ help: 'update every --second-frequency steps in the second half' }),
  secondFrequency: integer({ help: 'optimiser steps between mask updates with --dynamic-fre', default: 1200, min: 1 }),
  dynamicEpoch: integer({ help: 'first epoch of the decisions of Flying Bird+', default: 100, min: 0 }),
  epochRange: integer({ help: 'epoch-to-epoch differences a decision looks at', default: 4, min: 1 }),
  pruneRatio: number({
    help: 'further fraction of the dropped that a prune decision drops',
    default: decisionRatios.prune,
    min: 0,
  }),
  growthRatio: number({ help: 'further fraction of the grown that a grow decision grows', default: decisionRatios.grow, min: 0 }),
  updateThreshold: number({ help: 'fraction of the differences that makes a decision', default: 0.5, min: 0, max: 1 }),
  impRate: number({ help: 'fraction of the weights that a round of --imp prunes', default: 0.2, above: 0, below: 1 }),
  rewindEpoch: integer({ help: 'epoch whose weights --imp rewinds to', default: 0, min: 0 }),
  reset: toggle({ help: 'accepted for old scripts, does nothing', free: true }),
};

/** Where a run lives and what it prints. None of these changes a number. */
export const runFlags = {
  saveDir: text({ help: "the run's folder", default: undefined, placeholder: 'DIR', free: true }),
  resume: toggle({ help: "continue the run in the run's folder; from the beginning where there is none yet", free: true }),
  resumeDir: text({ help: 'continue the run of this folder', default: undefined, placeholder: 'DIR', free: true }),
  pretrained: text({
    help: 'the checkpoint or state_dict that --eval scores',
    default: undefined,
    placeholder: 'FILE',
    free: true,
  }),
  eval: toggle({ help: 'train nothing: score the checkpoint of --pretrained on test', free: true }),
  adapter: choice(['auto', 'gpu', 'lavapipe', 'swiftshader'], {
    help: 'what computes',
    default: 'auto',
    env: 'SPARROW_ADAPTER',
    free: true,
  }),
  gpu: text({ help: 'which of several GPUs: its number, or part of its name', default: '0', placeholder: 'N', free: true }),
  printFreq: integer({ help: 'iterations between progress lines', default: 50, min: 1, free: true }),
  profile: toggle({ help: 'print the time on the device by kernel when the run ends; slows it', free: true }),
};

/** Every setting of `sparrow train`. */
export const trainFlags = { ...modelFlags, ...optimiserFlags, ...attackFlags, ...sparseFlags, ...runFlags };

/** The settings of a training run. Attack radii are in the units of the command line: see `attackSettings`. */
export interface TrainConfig extends Settings<typeof trainFlags> {}

/** How the device of a run is opened. */
export function deviceOptions(config: Pick<TrainConfig, 'adapter' | 'gpu'> & { precision?: Precision }): OpenOptions {
  const { adapter, gpu, precision = 'f32' } = config;
  return { adapter, precision, ...(gpu !== '0' ? { gpu } : {}) };
}

/**
 * A whole, valid configuration from what was given: defaults filled in (those of the attack by norm), `randinit` applied.
 * @throws UsageError for the first thing that is wrong, naming its flag
 */
export function resolveConfig(given: Partial<TrainConfig>): TrainConfig {
  const named = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const config = withDefaults(trainFlags, { ...customDefaults(given), ...named });
  if (config.norm === 'l2') {
    config.trainEps = given.trainEps ?? l2Radius;
    config.testEps = given.testEps ?? l2Radius;
    config.trainGamma = given.trainGamma ?? l2Step;
    config.testGamma = given.testGamma ?? l2Step;
  }
  config.trainRandinit &&= config.randinit;
  config.testRandinit &&= config.randinit;
  validateConfig(config);
  return config;
}

/** Defaults that a training mode or a sparse method has of its own. */
function customDefaults(given: Partial<TrainConfig>): Partial<TrainConfig> {
  const method = (Object.keys(methods) as Method[]).find(name => given[name]);
  const { mode } = given;
  return { ...(mode && Object.hasOwn(modeDefaults, mode) ? modeDefaults[mode] : {}), ...(method ? methods[method] : {}) };
}

/** Checks every setting and the rules that span several. @throws UsageError for the first that is wrong, naming its flag */
export function validateConfig(config: TrainConfig): void {
  checkSettings(trainFlags, config);
  if (config.dataset !== 'shapes' && config.data === undefined) {
    throw new UsageError(`--data is required: the folder that holds ${config.dataset}`);
  }
  const rules = maskRules.filter(rule => config[rule] && !['fix', 'fb', 'fbp'].includes(rule));
  const others = (['fb', 'fbp'] as const).filter(rule => config[rule]);
  if (rules.length + Math.min(1, others.length) > 1)
    throw new UsageError(`${[...rules, ...others].map(r => flagName(r)).join(' and ')}: one method at a time`);
  if (config.imp && config.fix) throw new UsageError('--imp and --fix: --imp makes its own mask; give one of them');
  if (config.imp && config.rewindEpoch >= config.epochs)
    throw new UsageError(`--rewind-epoch ${config.rewindEpoch}: a round of --imp has epochs 0 to ${config.epochs - 1}`);
  if (config.scale !== undefined && maskRule(config) !== 'dense')
    throw new UsageError('--scale makes a thin dense network: leave out the mask, or give --width instead');
  if (config.sparseInit === 'omp' && maskRule(config) !== 'dense' && config.init === undefined)
    throw new UsageError('--sparse-init omp needs --init: the dense checkpoint to prune');
  if (config.mode === 'free' && config.norm !== 'linf')
    throw new UsageError('--mode free works in linf only: leave out --norm l2');
  if (config.nesterov && config.momentum === 0) throw new UsageError('--nesterov needs a --momentum above 0');
  if (config.eval && config.pretrained === undefined) throw new UsageError('--eval needs --pretrained: the checkpoint to score');
  if (config.pretrained !== undefined && !config.eval) {
    throw new UsageError('--pretrained goes with --eval; to start training from weights, give them with --init');
  }
}

const maskRules = ['fix', 'imp', 'set', 'rigl', 'itop', 'fbp', 'fb'] as const;
/** Which mask a run has: none, one that stays, or what moves it. */
export type MaskRule = 'dense' | 'fixed' | Exclude<(typeof maskRules)[number], 'fix'>;

/** The mask of a run. `--fix` wins over what would move it, `--fbp` over `--fb`. */
export function maskRule(config: Partial<Pick<TrainConfig, (typeof maskRules)[number]>>): MaskRule {
  const rule = maskRules.find(name => config[name]);
  return rule === 'fix' ? 'fixed' : (rule ?? 'dense');
}

/** An attack in the units of pixels in [0, 1]. */
export interface AttackSettings {
  readonly norm: 'linf' | 'l2';
  readonly eps: number;
  readonly stepSize: number;
  readonly steps: number;
  readonly randomInit: boolean;
}

/** The attack of training or of evaluation, in pixel units: Linf values are given in 1/255, L2 values directly. */
export function attackSettings(config: TrainConfig, which: 'train' | 'test'): AttackSettings {
  const unit = config.norm === 'linf' ? 1 / 255 : 1;
  return {
    norm: config.norm,
    eps: config[`${which}Eps`] * unit,
    stepSize: config[`${which}Gamma`] * unit,
    steps: config[`${which}Step`],
    randomInit: config[`${which}Randinit`],
  };
}

/** Checks that a resumed run has the settings it was started with. @throws UsageError naming each flag that differs */
export function assertSameRun(saved: TrainConfig, now: TrainConfig, folder: string): void {
  assertSameSettings(trainFlags, saved, now, folder);
}

/** Rises when a setting changes its meaning; a new setting needs no rise. */
const configVersion = 1;

/** The text of `config.json`. */
export function encodeConfig(config: TrainConfig): string {
  return `${JSON.stringify({ version: configVersion, ...config }, null, 2)}\n`;
}

/**
 * The configuration in a `config.json`; settings that its version did not have yet get their defaults.
 * @param source what messages call the file @throws FileError if it is not such a file, is newer, or holds what is not valid
 */
export function decodeConfig(json: string, source: string): TrainConfig {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (error) {
    throw new FileError(`${source}: is not valid JSON (${(error as Error).message})`);
  }
  const { version, ...given } = (parsed ?? {}) as Record<string, unknown>;
  if (!Number.isInteger(version)) throw new FileError(`${source}: is not a configuration of sparrow`);
  const unknown = Object.keys(given).filter(key => !Object.hasOwn(trainFlags, key));
  if ((version as number) > configVersion || unknown.length) {
    throw new FileError(`${source}: was written by a newer sparrow (${unknown[0] ?? `version ${version}`}); update to use it`);
  }
  try {
    return resolveConfig(given);
  } catch (error) {
    throw error instanceof UsageError ? new FileError(`${source}: ${error.message}`) : error;
  }
}
