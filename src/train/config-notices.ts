/** What was given to a training and has no effect, or hardly the one that was meant, for the user to know. */
import { type AttackSettings, type attackFlags, maskRule, sparseFlags, type TrainConfig } from './config.ts';
import { flagName } from './flags.ts';

type Key = keyof TrainConfig;

/** The settings of the training attack that a mode does not look at. */
const idleInMode: Readonly<Partial<Record<TrainConfig['mode'], readonly (keyof typeof attackFlags)[]>>> = {
  sgd: ['trainEps', 'trainStep', 'trainGamma', 'trainRandinit'],
  fast: ['trainStep', 'trainGamma'],
  free: ['trainStep', 'trainGamma', 'trainRandinit'],
  trades: ['trainRandinit'],
  mart: ['trainRandinit'],
};

/** Settings of the decisions of Flying Bird+, and of masks that move. */
const deciding: readonly Key[] = ['dynamicEpoch', 'epochRange', 'pruneRatio', 'growthRatio', 'updateThreshold'];
const schedule: readonly Key[] = ['deathRate', 'decaySchedule'];
const moving: readonly Key[] = [
  ...['growth', 'death', 'deathThreshold', 'redistribution', 'updateFrequency', 'updateEnd', 'dynamicFre', 'secondFrequency'],
  ...schedule,
  ...deciding,
] as Key[];

/** The settings that a training does not look at, and why. */
function idleSettings(config: TrainConfig): [keys: readonly Key[], why: string][] {
  const { mode } = config;
  const unless = (used: boolean, keys: readonly Key[], why: string): [readonly Key[], string] => [used ? [] : keys, why];
  return [
    [idleInMode[mode] ?? [], `with --mode ${mode}`],
    ...idleOfMask(config),
    unless(mode === 'trades' || mode === 'mart', ['beta'], 'without --mode trades or mart'),
    unless(mode === 'awp', ['awpGamma'], 'without --mode awp'),
    unless(mode === 'free', ['replays'], 'without --mode free'),
    unless(config.lrSchedule === 'multistep', ['decreasingLr'], 'with a cyclic learning rate'),
  ];
}

function idleOfMask(config: TrainConfig): [keys: readonly Key[], why: string][] {
  const none: [readonly Key[], string] = [['impRate', 'rewindEpoch'], 'without --imp'];
  switch (maskRule(config)) {
    case 'dense':
      return [[Object.keys(sparseFlags) as Key[], 'without --fb, --fbp, --set, --rigl, --itop, --imp or --fix']];
    case 'imp':
      return [[['sparseInit', ...moving], 'with --imp']];
    case 'fixed':
      return [[moving, 'with --fix'], none];
  }
  const byThreshold = config.death === 'threshold';
  return [
    none,
    [config.dynamicFre ? [] : ['secondFrequency'], 'without --dynamic-fre'],
    [config.fbp ? [] : deciding, 'without --fbp'],
    byThreshold ? [schedule, 'with --death threshold'] : [['deathThreshold'], 'without --death threshold'],
  ];
}

/** A line for each reason why something that was given has no effect, and for each radius that will surprise. */
export function configNotices(given: Partial<TrainConfig>, config: TrainConfig): string[] {
  const notices = config.reset ? ['--reset has no effect'] : [];
  for (const [keys, why] of idleSettings(config)) {
    const found = keys.filter(key => key !== 'reset' && given[key] !== undefined);
    if (found.length) notices.push(`${namesOf(found)}: no effect ${why}`);
  }
  if (idleInMode[config.mode]?.includes('trainRandinit') && given.randinit === false)
    notices.push(`--no-randinit: no effect on training with --mode ${config.mode}, only on evaluation`);
  return [...notices, ...radiusNotices(config.norm, given)];
}

/** The same for the stages of Robust Bird: what one of them looks at has an effect. */
export function stageNotices(given: Partial<TrainConfig>, stages: readonly TrainConfig[]): string[] {
  const idle = stages.map(stage => idleSettings(stage).flatMap(([keys]) => keys));
  const found = idle[0].filter(key => given[key] !== undefined && idle.every(keys => keys.includes(key)));
  const modes = [...new Set(stages.map(({ mode }) => mode))].join(' and ');
  const notices = found.length > 0 ? [`${namesOf(found)}: no effect on training by ${modes}`] : [];
  return [...notices, ...radiusNotices(stages[0].norm, given)];
}

const namesOf = (keys: readonly Key[]) => keys.map(key => flagName(key)).join(', ');

/** An L2 radius from which on it was hardly meant: two images of 3x32x32 pixels in [0, 1] are at most 55 apart, most some 10 to 20. */
const hugeL2 = 8;

type Radii = Readonly<Partial<Record<'trainEps' | 'testEps' | 'eps', number | undefined>>>;

/** A line for each radius in the other norm's unit: a fraction of 1 in Linf, which counts in 1/255, is next to none, and 128 in L2 covers all images. */
export function radiusNotices(norm: AttackSettings['norm'], given: Radii): string[] {
  return (['trainEps', 'testEps', 'eps'] as const).flatMap(key => {
    const { [key]: eps = 0 } = given;
    const flag = flagName(key);
    if (norm === 'linf' && eps > 0 && eps < 1) return [`${flag} ${eps} is ${eps}/255; 8/255 is ${flag} 8`];
    if (norm === 'l2' && eps >= hugeL2) return [`${flag} ${eps}: L2 is given directly; 128/255 is ${flag} 0.502`];
    return [];
  });
}
