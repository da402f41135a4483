/**
 * The table of results: a row a method, in the columns of the reference implementation's table (best, final and difference of RA and SA,
 * FLOPs, robust generalisation gap). Runs that differ in nothing but their seed are one row, their mean and sample standard deviation.
 */
import { trainFlags } from '../train/config.ts';
import type { Flag } from '../train/flags.ts';
import { fraction, percent, plain, points, si } from './format.ts';
import type { RunData } from './run.ts';
import { dataSetOf, evalLimitOf, exactness, imagesOf, type Summary, summarise } from './sections/summary.ts';

export const tableFormats = ['markdown', 'csv', 'json'] as const;
export type TableFormat = (typeof tableFormats)[number];

/** A mean over seeds; NaN where a run has not measured it. */
export interface Statistic {
  mean: number;
  /** Sample standard deviation, with n - 1; absent for a single run. */
  deviation?: number;
}

export interface TableRow {
  method: string;
  dataset: string;
  arch: string;
  density: Statistic;
  /** One for each run of the row. */
  seeds: number[];
  /** How many images of a set accuracies are of at most; absent where they are of all. */
  evalLimit?: number;
  /** False where the runs have not come to their end: best and final are those of the epochs so far. */
  finished: boolean;
  values: Record<Column, Statistic>;
}

type Column = (typeof columns)[number]['key'];

const columns = [
  { key: 'raBest', name: 'RA best', kind: 'accuracy', of: (s: Summary) => s.best.testRa },
  { key: 'raFinal', name: 'RA final', kind: 'accuracy', of: (s: Summary) => s.final.testRa },
  { key: 'raDifference', name: 'RA diff.', kind: 'difference', of: (s: Summary) => s.difference.ra },
  { key: 'saBest', name: 'SA best', kind: 'accuracy', of: (s: Summary) => s.best.testSa },
  { key: 'saFinal', name: 'SA final', kind: 'accuracy', of: (s: Summary) => s.final.testSa },
  { key: 'saDifference', name: 'SA diff.', kind: 'difference', of: (s: Summary) => s.difference.sa },
  { key: 'trainingFlops', name: 'Training FLOPs', kind: 'count', of: (s: Summary) => s.flops.trainingReal },
  { key: 'inferenceFlops', name: 'Inference FLOPs', kind: 'count', of: (s: Summary) => s.flops.inferenceReal },
  { key: 'gap', name: 'Gap', kind: 'difference', of: (s: Summary) => s.gap.gap },
] as const;

/** The rows, in the order of the runs. */
export function resultTable(runs: readonly RunData[]): TableRow[] {
  const groups = new Map<string, RunData[]>();
  for (const run of runs) {
    let key = settingsOf(run);
    while (groups.get(key)?.some(other => Object.is(seedOf(other), seedOf(run)))) key += ' again';
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  const rows = [...groups.values()];
  const shared = (run: RunData): boolean => rows.filter(([first]) => toldOf(first) === toldOf(run)).length > 1;
  return rows.map(group => {
    const [first] = group;
    const summaries = group.map(summarise);
    const over = (of: (summary: Summary) => number): Statistic => statistic(summaries.map(of));
    return {
      method: shared(first) ? `${first.label} (${first.folder})` : first.label,
      dataset: dataSetOf(first),
      arch: archOf(first),
      density: over(summary => summary.density),
      seeds: group.map(seedOf),
      evalLimit: evalLimitOf(first),
      finished: summaries[0].finished,
      values: Object.fromEntries(columns.map(({ key, of }) => [key, over(of)])) as Record<Column, Statistic>,
    };
  });
}

/** What the columns beside a method's name tell of a run: rows that are alike in it are told apart by their folders. */
const toldOf = (run: RunData): string => JSON.stringify([run.label, dataSetOf(run), archOf(run), run.config.density]);

const archOf = ({ result, config }: RunData): string => result?.arch || String(config.arch ?? '');
const seedOf = ({ result, config }: RunData): number => (Number.isFinite(result?.seed) ? result!.seed : Number(config.seed));

/** All that makes a run's numbers but its seed, as text: settings that a resumed run may change do not count. */
function settingsOf(run: RunData): string {
  const counts = (name: string): boolean =>
    name !== 'seed' && !(Object.hasOwn(trainFlags, name) && (trainFlags as Record<string, Flag<unknown>>)[name].free);
  const settings = Object.entries(run.config).filter(([name]) => counts(name));
  const what = [run.label, imagesOf(run), archOf(run), run.result !== undefined, run.result?.stages];
  return JSON.stringify([what, settings.sort(([a], [b]) => (a < b ? -1 : 1))]);
}

function statistic(values: readonly number[]): Statistic {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length < 2) return { mean };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / (values.length - 1)) };
}

/** The table as text, without a line end after it. JSON and CSV have accuracies as fractions. */
export function writeTable(rows: readonly TableRow[], format: TableFormat): string {
  return { markdown, csv, json }[format](rows);
}

function markdown(rows: readonly TableRow[]): string {
  const differ = (of: (row: TableRow) => string): boolean => new Set(rows.map(of)).size > 1;
  const several = rows.some(row => row.seeds.length > 1);
  const about: { name: string; text: (row: TableRow) => string; shown: boolean }[] = [
    { name: 'Method', text: row => row.method + (row.finished ? '' : ' (not finished)'), shown: true },
    { name: 'Data set', text: row => row.dataset, shown: differ(row => row.dataset) },
    { name: 'Architecture', text: row => row.arch, shown: differ(row => row.arch) },
    { name: 'Density', text: row => written(row.density, 'fraction'), shown: true },
    { name: 'Seeds', text: row => row.seeds.map(plain).join(', '), shown: several },
  ];
  const shown = about.filter(column => column.shown);
  const line = (cells: string[]): string => `| ${cells.map(cell => cell.replace(/[|\\]/g, '\\$&')).join(' | ')} |`;
  const inexact = exactness(rows.map(row => row.evalLimit));
  const notes = [
    'RA and SA in %; diff. (best - final) and gap (train RA - test RA of the final model) in percentage points.',
    'FLOPs are multiply-adds at the real densities: of the whole training, and of one image at inference.',
    ...(inexact === undefined ? [] : [inexact]),
    ...(several ? ['Several seeds: mean ± sample standard deviation (n - 1).'] : []),
  ];
  return [
    line([...shown.map(column => column.name), ...columns.map(column => column.name)]),
    line([...shown.map(({ name }) => (name === 'Density' ? '---:' : '---')), ...columns.map(() => '---:')]),
    ...rows.map(row =>
      line([...shown.map(column => column.text(row)), ...columns.map(({ key, kind }) => written(row.values[key], kind))]),
    ),
    '',
    ...notes,
  ].join('\n');
}

/** '51.62', '51.62 ± 0.12', '+5.25', '277.7 M'; spaces that do not break become plain ones. */
function written({ mean, deviation }: Statistic, kind: (typeof columns)[number]['kind'] | 'fraction'): string {
  const format = { accuracy: percent, difference: points, count: si, fraction }[kind];
  const spread =
    deviation === undefined || !Number.isFinite(deviation) ? '' : ` ± ${(kind === 'difference' ? percent : format)(deviation)}`;
  return `${format(mean)}${spread}`.replaceAll('\u00A0%', '').replaceAll('\u00A0', ' ');
}

function csv(rows: readonly TableRow[]): string {
  const snake = (key: string): string => key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
  const names = ['density', ...columns.map(({ key }) => snake(key))].flatMap(name => [name, `${name}_sd`]);
  const cell = (value: string | number): string =>
    /[",\r\n]/.test(`${value}`) ? `"${`${value}`.replaceAll('"', '""')}"` : `${value}`;
  const known = (value: number | undefined): string => (Number.isFinite(value) ? String(value) : '');
  const lines = rows.map(row => {
    const statistics = [row.density, ...columns.map(({ key }) => row.values[key])];
    return [
      ...[
        row.method,
        row.dataset,
        row.arch,
        row.finished ? 'yes' : 'no',
        row.seeds.length,
        row.seeds.filter(Number.isFinite).join(' '),
      ],
      ...statistics.flatMap(({ mean, deviation }) => [known(mean), known(deviation)]),
    ];
  });
  return [['method', 'dataset', 'arch', 'finished', 'runs', 'seeds', ...names], ...lines]
    .map(line => line.map(cell).join(','))
    .join('\n');
}

/** One object; what was not measured is null. */
function json(rows: readonly TableRow[]): string {
  return JSON.stringify({ deviation: 'sample', rows: rows.map(({ values, ...about }) => ({ ...about, ...values })) });
}
