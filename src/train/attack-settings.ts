/** The settings of `sparrow eval` and `sparrow attack`: their flags, the names of attacks, and the units of their numbers. */
import { type Ball, type EnsembleName, ensembleNames, type StageName, stageNames } from '../adv/autoattack.ts';
import type { AttackSettings } from '../adv/pgd.ts';
import { UsageError } from '../errors.ts';
import { l2Radius, l2Step, modelFlags, runFlags } from './config.ts';
import { radiusNotices } from './config-notices.ts';
import {
  checkSettings,
  choice,
  type Flag,
  flagName,
  integer,
  number,
  type Settings,
  text,
  toggle,
  withDefaults,
} from './flags.ts';

/** Every attack that `--attack` takes, as its help writes them. */
const ATTACKS = ['none', 'fgsm', 'pgd-N', 'cw-N', ...stageNames, ...ensembleNames];

/** What a name of `--attack` asks for. `steps` are those of PGD. */
export type Attack =
  | { readonly kind: 'none' | 'fgsm' }
  | { readonly kind: 'pgd' | 'cw'; readonly steps: number }
  | { readonly kind: StageName }
  | { readonly kind: EnsembleName };

/** The attack of a name; undefined for a name that is none. */
export function parseAttack(name: string): Attack | undefined {
  const [, kind, steps] = /^(pgd|cw)-([1-9]\d{0,5})$/.exec(name) ?? [];
  if (kind) return { kind: kind as 'pgd' | 'cw', steps: Number(steps) };
  const plain = ['none', 'fgsm', ...stageNames, ...ensembleNames] as const;
  const found = plain.find(known => known === name);
  return found && ({ kind: found } as Attack);
}

/** Attacks separated by commas. */
const attackList: Flag<string[]> = {
  placeholder: 'LIST',
  default: ['pgd-20'],
  help: `attacks, separated by commas: ${ATTACKS.join(', ')}`,
  parse: value => [...new Set(value.split(',').map(name => name.trim()))],
  problem: value =>
    Array.isArray(value) && value.length > 0 && value.every(name => parseAttack(name) !== undefined)
      ? null
      : `must be of ${ATTACKS.join(', ')} (N: iterations)`,
};

/** What is attacked. */
export const victimFlags = {
  checkpoint: text({ help: 'the checkpoint that is scored', default: undefined, placeholder: 'FILE', required: true }),
  transferFrom: text({
    help: 'craft the images on this checkpoint instead, and score them on --checkpoint',
    default: undefined,
    placeholder: 'FILE',
  }),
  dataset: { ...modelFlags.dataset, required: false, defaultText: "the checkpoint's" },
  data: modelFlags.data,
  split: choice(['test', 'val', 'train'], { help: 'part of the data', default: 'test' }),
  limit: integer({ help: 'use only the first N samples of the split', default: undefined, defaultText: 'all', min: 1 }),
  skipCorrupt: modelFlags.skipCorrupt,
  arch: { ...modelFlags.arch, required: false, defaultText: "the checkpoint's" },
  width: integer({
    help: 'base width of the network',
    default: undefined,
    defaultText: "the checkpoint's, 64 where it names none",
    min: 1,
  }),
  depthFactor: integer({
    help: 'depth of wideresnet',
    default: undefined,
    defaultText: "the checkpoint's, 34 where it names none",
    min: 1,
  }),
  widthFactor: integer({
    help: 'widening factor of wideresnet',
    default: undefined,
    defaultText: "the checkpoint's, 10 where it names none",
    min: 1,
  }),
};

/** How it is attacked. */
export const evaluationFlags = {
  attack: attackList,
  norm: choice(['linf', 'l2'], { help: 'norm of the attacks; the units of radius and step size follow it', default: 'linf' }),
  eps: number({ help: 'radius', default: undefined, defaultText: '8, in 1/255; with l2 0.502, direct', min: 0 }),
  alpha: number({
    help: 'step size of PGD and CW',
    default: undefined,
    defaultText: '2, in 1/255; with l2 0.0588, direct',
    min: 0,
  }),
  randinit: toggle({ help: 'start PGD and CW at the clean image', given: false }),
  seed: integer({ help: 'seed of every random number', default: 1, min: 0 }),
  batchSize: integer({ help: 'images attacked at once', default: 128, min: 1 }),
};

/** The same, for commands that craft by a single attack. */
export const craftingFlags = {
  ...evaluationFlags,
  attack: { ...attackList, placeholder: 'NAME', help: `the attack: ${ATTACKS.join(', ')}` },
};

/** The single attack of a command that takes one. @throws UsageError for several */
export function oneAttack({ attack }: Pick<Settings<typeof evaluationFlags>, 'attack'>): string {
  if (attack.length > 1) throw new UsageError(`--attack takes one attack here, got '${attack.join(',')}'`);
  return attack[0];
}

export const engineFlags = { adapter: runFlags.adapter, gpu: runFlags.gpu };

/** Every setting of `sparrow eval`. */
export const evalFlags = { ...victimFlags, ...evaluationFlags, ...engineFlags };

/** The settings of an evaluation; radius and step size in the units of the command line. */
export interface EvalSettings extends Settings<typeof evalFlags> {}

/** Whole, valid settings from what was given. @throws UsageError for the first thing that is wrong, naming its flag */
export function resolveEvaluation(given: Partial<EvalSettings>): EvalSettings {
  const settings = withDefaults(evalFlags, given);
  checkSettings(evalFlags, settings);
  return settings;
}

/**
 * Things that were given and have no effect, or hardly the one that was meant, one line each, for the user to know.
 * @param recraft steps of a PGD that runs beside `--attack`
 */
export function evaluationNotices(
  given: Partial<Pick<EvalSettings, 'eps' | 'alpha' | 'randinit'>>,
  { attack, norm }: Pick<EvalSettings, 'attack' | 'norm'>,
  recraft = 0,
): string[] {
  const steps = recraft > 0 || attack.some(name => ['pgd', 'cw'].includes(parseAttack(name)!.kind));
  const idle = steps ? [] : (['alpha', 'randinit'] as const).filter(key => given[key] !== undefined);
  const flags = idle.map(key => flagName(key, evaluationFlags[key])).join(', ');
  return [...(flags ? [`${flags}: no effect without --attack pgd-N or cw-N`] : []), ...radiusNotices(norm, { eps: given.eps })];
}

/** The radius in pixel units: Linf values are given in 1/255, L2 values directly. */
export function ballOf({ norm, eps }: Pick<EvalSettings, 'norm' | 'eps'>): Ball {
  return { norm, eps: norm === 'linf' ? (eps ?? 8) / 255 : (eps ?? l2Radius) };
}

/** PGD in pixel units. */
export function pgdOf(settings: Pick<EvalSettings, 'norm' | 'eps' | 'alpha' | 'randinit'>, steps: number): AttackSettings {
  const { norm, alpha, randinit } = settings;
  const stepSize = norm === 'linf' ? (alpha ?? 2) / 255 : (alpha ?? l2Step);
  return { ...ballOf(settings), stepSize, steps, randomInit: randinit };
}

/** The attacks asked for, by name. */
export function attacksOf({ attack }: Pick<EvalSettings, 'attack'>): Map<string, Attack> {
  return new Map(
    attack.map(name => {
      const found = parseAttack(name);
      if (!found) throw new UsageError(`--attack: there is no attack '${name}'`);
      return [name, found];
    }),
  );
}
