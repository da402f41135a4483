/**
 * The settings of `sparrow robust-bird`: its flags, the data set that the path of `--data` names, and the training run that each
 * stage is. Names and defaults are those of the reference implementation's `train_eb.py`.
 */
import { readFileJson } from '../../data/files.ts';
import { dataSetAliases, dataSetNames } from '../../data/index.ts';
import { UsageError } from '../../errors.ts';
import { prunings } from '../../sparse/early-bird.ts';
import {
  attackFlags,
  modelFlags,
  optimiserFlags,
  resolveConfig,
  runFlags,
  type TrainConfig,
  trainingModeNames,
} from '../config.ts';
import {
  checkSettings,
  choice,
  type Flag,
  type FlagTable,
  integer,
  number,
  type Settings,
  text,
  withDefaults,
} from '../flags.ts';
import type { RunFolder } from '../folder.ts';

/** The two stages, each by any training mode, and what is pruned between them. The reference implementation has pgd, fast and sgd. */
export const stageFlags = {
  stage1: choice(trainingModeNames, {
    help: 'training until the ticket emerges; needed unless --stage1-pretrained is given',
    default: undefined,
  }),
  epochs1: integer({ help: 'epochs of stage 1 at most', default: 200, min: 1 }),
  stage2: choice(trainingModeNames, { help: 'training of the ticket', required: true }),
  epochs2: integer<number>({ help: 'epochs of stage 2', required: true, min: 1 }),
  stage1Pretrained: text({
    help: 'prune this dense checkpoint instead of training stage 1',
    default: undefined,
    placeholder: 'FILE',
  }),
  pruning: choice(prunings, { help: 'what is removed: single weights, or whole channels', required: true }),
  density: number<number>({
    help: 'fraction of the weights, or of the channels, that is kept',
    required: true,
    above: 0,
    max: 1,
  }),
};

type Undecided<F extends FlagTable> = { [K in keyof F]: F[K] extends Flag<infer T> ? Flag<T | undefined> : never };

/** Rows of `train` without their defaults: a stage finds them by its own mode and norm. */
function undecided<F extends FlagTable>(table: F): Undecided<F> {
  const rows = Object.entries(table).map(([key, { default: usual, ...row }]) => {
    const shown = row.defaultText ?? (usual === undefined || row.required ? undefined : String(usual));
    return [key, shown === undefined ? row : { ...row, defaultText: shown }];
  });
  return Object.fromEntries(rows) as Undecided<F>;
}

const { scale, init, dataset, ...model } = modelFlags;
export const stageModelFlags = {
  ...undecided(model),
  init: { ...init, help: 'start stage 1 from the weights of this checkpoint or state_dict (.safetensors, .pth)' },
  dataset: { ...dataset, required: false, defaultText: 'what the path of --data names' },
};

const { mode, epochs, ...optimiser } = optimiserFlags;
export const stageOptimiserFlags = {
  ...undecided(optimiser),
  decreasingLr: { ...optimiser.decreasingLr, default: [50, 150] },
};

export const stageAttackFlags = undecided(attackFlags);

const { resumeDir, pretrained, eval: evaluate, ...run } = runFlags;
export const stageRunFlags = {
  ...run,
  saveDir: text<string>({
    help: 'DIR_stage1 and DIR_stage2 are the folders of the stages',
    required: true,
    placeholder: 'DIR',
    free: true,
  }),
  printFreq: { ...run.printFreq, default: 100 },
};

/** Every setting of `sparrow robust-bird`. */
export const robustBirdFlags = {
  ...stageFlags,
  ...stageModelFlags,
  ...stageRunFlags,
  ...stageOptimiserFlags,
  ...stageAttackFlags,
};

/** The settings; those of the training runs are absent where they were not given. */
export interface RobustBirdSettings extends Settings<typeof robustBirdFlags> {}

/** A valid set of settings from what was given. @throws UsageError for the first thing that is wrong, naming its flag */
export function resolveRobustBird(given: Partial<RobustBirdSettings>): RobustBirdSettings {
  const settings = withDefaults(robustBirdFlags, given);
  settings.dataset ??= dataSetIn(given.data);
  checkSettings(robustBirdFlags, settings);
  if (settings.stage1 === undefined && settings.stage1Pretrained === undefined)
    throw new UsageError(`--stage1 is required: ${stageFlags.stage1.help}`);
  if (settings.stage1 !== undefined && settings.stage1Pretrained !== undefined)
    throw new UsageError(
      '--stage1 and --stage1-pretrained: a pretrained checkpoint takes the place of stage 1; give one of them',
    );
  if (settings.init !== undefined && settings.stage1 === undefined)
    throw new UsageError(
      '--init and --stage1-pretrained: --init is what stage 1 starts from, and there is none; give one of them',
    );
  stageConfig(settings, 1);
  stageConfig(settings, 2);
  return settings;
}

/**
 * The data set that a path names: in the last of its parts that names one, by the longest name.
 * @throws UsageError where there is none
 */
function dataSetIn(path: string | undefined): string {
  if (path === undefined) throw new UsageError(`--data is required: ${modelFlags.data.help}`);
  const names = [...dataSetNames.filter(name => name !== 'folder'), ...Object.keys(dataSetAliases)];
  for (const part of path.toLowerCase().split(/[\\/]/).reverse()) {
    const [found] = names.filter(name => part.includes(name)).sort((a, b) => b.length - a.length);
    if (found) return dataSetAliases[found] ?? found;
  }
  throw new UsageError(`--dataset is required: the path '${path}' of --data names none of ${dataSetNames.join(', ')}`);
}

/** The file, in the folder of stage 2, with the settings that both stages were begun with. */
export const settingsFile = 'robust-bird.json';

/** The settings that a run was begun with; undefined where there are none yet. @throws FileError if the file cannot be read */
export function savedSettings(secondStage: RunFolder): RobustBirdSettings | undefined {
  if (!secondStage.has(settingsFile)) return undefined;
  return withDefaults(robustBirdFlags, readFileJson(secondStage.file(settingsFile)) as RobustBirdSettings);
}

/** The folder of a stage. */
export const stageFolder = ({ saveDir }: Pick<RobustBirdSettings, 'saveDir'>, stage: 1 | 2): string => `${saveDir}_stage${stage}`;

/**
 * The training run that a stage is. Stage 2 of unstructured pruning trains under the fixed mask of the largest weights; where
 * channels were pruned it trains the smaller network, all of it.
 */
export function stageConfig(settings: RobustBirdSettings, stage: 1 | 2): TrainConfig {
  const { stage1, stage2, epochs1, epochs2, stage1Pretrained, init, pruning, density, ...shared } = settings;
  const masked = stage === 2 && pruning === 'unstructured';
  return resolveConfig({
    ...shared,
    mode: stage === 1 ? stage1 : stage2,
    epochs: stage === 1 ? epochs1 : epochs2,
    init: stage === 1 ? init : undefined,
    saveDir: stageFolder(settings, stage),
    ...(masked ? { fix: true, sparseInit: 'magnitude', density } : {}),
  });
}
