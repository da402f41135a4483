/** From `--grid` and a command to the runs of a sweep: every combination of the values, the last axis fastest. */
import { UsageError } from '../../errors.ts';

/** One `--grid`: what varies, and its values as they are typed. */
export interface Axis {
  readonly key: string;
  readonly values: readonly string[];
}

/** One run: its values by key, and the words of its command. */
export interface Combination {
  readonly values: Readonly<Record<string, string>>;
  readonly argv: readonly string[];
}

/** What the command that is swept does with a flag such as `--density`: undefined where it has none of that name. */
export type FlagKind = (flag: string) => 'value' | 'switch' | undefined;

/** `density=0.05,0.1` as an axis. @throws UsageError if it is no such thing */
export function parseAxis(text: string): Axis {
  const [, key, list] = /^([A-Za-z][\w-]*)=(.+)$/s.exec(text) ?? [];
  if (!key) throw new UsageError(`--grid must be KEY=VALUE,VALUE,..., got '${text}'`);
  const values = list.split(',').map(value => value.trim());
  if (new Set(values).size < values.length) throw new UsageError(`--grid ${key}: a value is there twice`);
  return { key, values };
}

/**
 * The commands of all combinations. `{key}` in a word stands for the value, and a word that becomes empty is left out; where the key is a flag of the command, and the
 * command does not give that flag itself, flag and value are added.
 * @throws UsageError for a key that changes nothing, a name in braces that no axis has, or an axis that is there twice
 */
export function combinations(axes: readonly Axis[], command: readonly string[], kind: FlagKind): Combination[] {
  const keys = axes.map(axis => axis.key);
  const twice = keys.find((key, i) => keys.indexOf(key) < i);
  if (twice !== undefined) throw new UsageError(`--grid ${twice} is there twice: separate its values by commas`);
  const used = new Set(command.flatMap(word => [...word.matchAll(braces)].map(match => match[1])));
  const unknown = [...used].find(name => !keys.includes(name));
  if (unknown !== undefined) throw new UsageError(`{${unknown}} in the command: there is no --grid ${unknown}=...`);
  const given = new Set(command.map(word => flagOf(word.split('=', 1)[0])));
  const added = keys.filter(key => kind(flagOf(`--${key}`)) === 'value' && !given.has(flagOf(`--${key}`)));
  for (const key of keys.filter(name => !used.has(name) && !added.includes(name))) throw idle(key, kind(flagOf(`--${key}`)));
  return product(axes).map(values => ({
    values,
    argv: [...fill(command, values), ...added.flatMap(key => [flagOf(`--${key}`), values[key]])],
  }));
}

const braces = /\{([A-Za-z][\w-]*)\}/g;
const flagOf = (word: string) => (word.startsWith('--') ? word.replaceAll('_', '-') : word);

function idle(key: string, kind: ReturnType<FlagKind>): UsageError {
  const flag = `--${key}`;
  if (kind === 'switch')
    return new UsageError(
      `--grid ${key}: ${flag} takes no value; put {name} where runs differ, as in --grid name=fb,rigl -- train --{name}`,
    );
  if (kind === 'value') return new UsageError(`--grid ${key}: the command gives ${flag} itself; leave it out there`);
  return new UsageError(`--grid ${key}: the command has no flag ${flag}, and {${key}} is not in it`);
}

function product(axes: readonly Axis[]): Record<string, string>[] {
  return axes.reduce<Record<string, string>[]>(
    (runs, { key, values }) => runs.flatMap(run => values.map(value => ({ ...run, [key]: value }))),
    [{}],
  );
}

function fill(command: readonly string[], values: Readonly<Record<string, string>>): string[] {
  return command.flatMap(word => {
    const filled = word.replace(braces, (_, key: string) => values[key]);
    return filled === '' && word !== '' ? [] : [filled];
  });
}

/** A command as it is typed into a POSIX shell. */
export function shellCommand(words: readonly string[]): string {
  return words.map(word => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}
