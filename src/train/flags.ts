/**
 * Settings as tables. One row says everything about a setting: its flag on the command line, type, default, range, help and whether
 * a resumed run must keep it. Parsing, help, validation, `config.json` and the resume check all read the same rows, so they cannot
 * disagree. `config.ts` is the table of `train`.
 */
import { UsageError } from '../errors.ts';

/** One row. Its key in the table is the setting's name in code (`trainEps`); `flagName` makes `--train-eps` of it. */
export interface Flag<T> {
  readonly help: string;
  /** The value when the flag is not given. Absent for a required setting. */
  readonly default?: T;
  /** How the help writes the default, where the value alone would not say it. */
  readonly defaultText?: string;
  readonly required?: boolean;
  /** What the help shows for the value, such as `N`. A flag without one is a switch. */
  readonly placeholder?: string;
  /** What a switch sets when it is given. A switch that is on by default and sets false is spelled `--no-...` unless `plain`. */
  readonly given?: boolean;
  readonly plain?: boolean;
  /** Whether `--resume` accepts another value than the saved one: true for what cannot change a run's numbers. */
  readonly free?: boolean;
  /** An environment variable read when the flag is not given. */
  readonly env?: string;
  /** A value from the text of the command line; whatever it makes of nonsense must not pass `problem`. */
  parse(text: string): T;
  /** What is wrong with a value, worded to follow the flag's name; null when it is right. */
  problem(value: unknown): string | null;
}

export type FlagTable = Readonly<Record<string, Flag<unknown>>>;

/** The object that a table describes. */
export type Settings<F extends FlagTable> = { -readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

interface Common<D> {
  help: string;
  default?: D;
  defaultText?: string;
  required?: boolean;
  free?: boolean;
  placeholder?: string;
  env?: string;
}

interface Range {
  /** Smallest and largest value allowed; `above` and `below` are the bounds that are themselves not allowed. */
  min?: number;
  max?: number;
  above?: number;
  below?: number;
}

const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const parseNumber = (text: string) => (decimal.test(text) ? Number(text) : Number.NaN);

/** A finite number in a range. */
export function number<D extends number | undefined>(spec: Common<D> & Range): Flag<number | D> {
  const { min, max, above, below, ...row } = spec;
  const words = `must be a number${rangeWords(spec)}`;
  return {
    placeholder: 'X',
    ...row,
    parse: parseNumber,
    problem: value => (typeof value === 'number' && Number.isFinite(value) && inRange(value, spec) ? null : words),
  };
}

/** A whole number in a range (exactly representable, so below 2^53). */
export function integer<D extends number | undefined>(spec: Common<D> & Range): Flag<number | D> {
  const { min, max, above, below, ...row } = spec;
  const words = `must be a whole number${rangeWords(spec)}`;
  return {
    placeholder: 'N',
    ...row,
    parse: parseNumber,
    problem: value => (Number.isSafeInteger(value) && inRange(value as number, spec) ? null : words),
  };
}

/** A whole number in a range, or a word for one that follows from the data. */
export function integerOr<const W extends string>(word: W, spec: Common<number> & Range): Flag<number | W> {
  const { parse, problem, ...row } = integer(spec);
  return {
    ...row,
    parse: text => (text === word ? word : (parse(text) as number)),
    problem: value => (value === word || problem(value) === null ? null : `${problem(value)}, or ${word}`),
  };
}

/** Whole numbers separated by commas, each at least 1 and larger than the one before. */
export function risingIntegers(spec: Common<number[]>): Flag<number[]> {
  return {
    placeholder: 'LIST',
    ...spec,
    parse: text => text.split(',').map(part => parseNumber(part.trim())),
    problem: value =>
      Array.isArray(value) && value.every((n, i) => Number.isSafeInteger(n) && n > (i ? value[i - 1] : 0))
        ? null
        : 'must be whole numbers >= 1 in rising order, separated by commas',
  };
}

/** Any text but the empty one: a path, a name that another part checks. */
export function text<D extends string | undefined>(spec: Common<D>): Flag<string | D> {
  return {
    placeholder: 'TEXT',
    ...spec,
    parse: value => value,
    problem: value => (typeof value === 'string' && value !== '' ? null : 'must not be empty'),
  };
}

/** One of some names; `aliases` are further spellings of them. */
export function choice<const N extends string, D extends N | undefined = never>(
  names: readonly N[],
  spec: Common<D> & { aliases?: Readonly<Record<string, N>> },
): Flag<N | D> {
  const { aliases = {}, ...row } = spec;
  return {
    placeholder: 'NAME',
    ...row,
    help: `${spec.help}: ${names.join(', ')}`,
    parse: value => (Object.hasOwn(aliases, value) ? aliases[value] : (value as N)),
    problem: value => {
      if (names.includes(value as N)) return null;
      return names.length > 1 ? `must be one of ${names.join(', ')}` : `must be ${names[0]}`;
    },
  };
}

/** A switch: `given` is what it sets (true unless said otherwise), its default the opposite. */
export function toggle(spec: { help: string; given?: boolean; plain?: boolean; free?: boolean }): Flag<boolean> {
  const given = spec.given ?? true;
  return {
    ...spec,
    given,
    default: !given,
    parse: value => value === 'true',
    problem: value => (typeof value === 'boolean' ? null : 'must be true or false'),
  };
}

function inRange(value: number, { min = -Infinity, max = Infinity, above = -Infinity, below = Infinity }: Range): boolean {
  return value >= min && value <= max && value > above && value < below;
}

/** A range as people write it: ` >= 1`, ` in (0, 1]`, or nothing. */
function rangeWords({ min, max, above, below }: Range): string {
  const low = min ?? above;
  const high = max ?? below;
  if (low !== undefined && high !== undefined) {
    return ` in ${min === undefined ? '(' : '['}${low}, ${high}${max === undefined ? ')' : ']'}`;
  }
  if (low !== undefined) return `${min === undefined ? ' >' : ' >='} ${low}`;
  return high === undefined ? '' : `${max === undefined ? ' <' : ' <='} ${high}`;
}

/** The flag of a setting as it is typed: `trainEps` is `--train-eps`, `augment` is `--no-augment`. */
export function flagName(key: string, flag?: Flag<unknown>): string {
  const kebab = key.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);
  return flag?.given === false && !flag.plain ? `--no-${kebab}` : `--${kebab}`;
}

/** The value of a flag's text. @throws UsageError naming the flag and repeating the text */
export function parseFlag(key: string, flag: Flag<unknown>, value: string): unknown {
  const parsed = flag.parse(value);
  const problem = flag.problem(parsed);
  if (problem) throw new UsageError(`${flagName(key)} ${problem}, got '${value}'`);
  return parsed;
}

/** Settings with the defaults of a table for everything not given (`undefined` counts as not given). Checks nothing. */
export function withDefaults<F extends FlagTable>(table: F, given: Partial<Settings<F>>): Settings<F> {
  const all = Object.entries(table).map(([key, flag]) => [key, given[key] ?? flag.default]);
  return Object.fromEntries(all) as Settings<F>;
}

/** Checks every setting by its row. @throws UsageError for the first that is missing or out of range, naming its flag */
export function checkSettings<F extends FlagTable>(table: F, settings: Settings<F>): void {
  for (const [key, flag] of Object.entries(table)) {
    const value = settings[key as keyof F];
    if (value === undefined && flag.required) throw new UsageError(`${flagName(key)} is required: ${flag.help}`);
    if (value === undefined && flag.default === undefined) continue;
    const problem = flag.problem(value);
    if (problem) throw new UsageError(`${flagName(key)} ${problem}, got ${show(value)}`);
  }
}

/** What differs between two settings, worded for a message; rows that are `free` are left out. */
export function diffSettings<F extends FlagTable>(table: F, saved: Settings<F>, now: Settings<F>): string[] {
  return Object.entries(table)
    .filter(([key, flag]) => !flag.free && JSON.stringify(saved[key]) !== JSON.stringify(now[key]))
    .map(([key, flag]) => {
      const shown = (value: unknown) => (flag.placeholder ? show(value) : value === flag.given ? 'given' : 'not given');
      return `${flagName(key, flag)} was ${shown(saved[key])}, now ${shown(now[key])}`;
    });
}

/** Checks that a run is resumed with the settings it was started with. @throws UsageError naming each flag that differs */
export function assertSameSettings<F extends FlagTable>(table: F, saved: Settings<F>, now: Settings<F>, folder: string): void {
  const differences = diffSettings(table, saved, now);
  if (differences.length === 0) return;
  throw new UsageError(
    `cannot resume ${folder} with other settings: ${differences.join('; ')}; repeat the settings, or give another --save-dir`,
  );
}

/** A value as a message shows it. */
function show(value: unknown): string {
  if (value === undefined) return 'not given';
  return typeof value === 'string' ? `'${value}'` : Array.isArray(value) ? value.join(',') : String(value);
}
