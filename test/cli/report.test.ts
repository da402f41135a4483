/** `sparrow report` as its users run it: pages, figures and tables from folders of runs, and every kind of bad input. */
import { execFile } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { madeRun, writeRun } from '../report/runs.ts';
import { inProcess, linesOf, type Outcome } from './in-process.ts';

const bin = inject('command');
let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'sparrow-report-'));
  const run = { epochs: 3, sa: 0.8, ra: 0.5, density: 0.2 };
  writeRun(at('fb-1'), madeRun({ ...run, label: 'Flying Bird', seed: 1 }));
  writeRun(at('fb-2'), madeRun({ ...run, label: 'Flying Bird', seed: 2 }));
  const elsewhere = madeRun({ ...run, label: 'Dense', seed: 1, density: 1 });
  writeRun(at('cifar'), { ...elsewhere, result: { ...elsewhere.result, dataset: 'cifar10' } });
  writeRun(at('begun'), {
    ...elsewhere,
    label: 'begun',
    metrics: [],
    result: undefined,
    weights: [],
    samples: undefined,
  });
  writeRun(at('broken'), elsewhere);
  appendFileSync(at('broken/metrics.jsonl'), '{"epoch": 4, "testRa": oops}\n');
  writeRun(at('maps'), elsewhere);
  writeFileSync(
    at('maps/distances.json'),
    JSON.stringify({ epochs: [0, 1], distances: [[0, 0.2]], threshold: 0.08, emerged: null }),
  );
  mkdirSync(at('empty'));
});
afterAll(() => rmSync(root, { recursive: true }));

/** A path below the folder of the runs. */
const at = (name: string): string => join(root, name);

/** Runs the command in a process of its own, in the folder of the runs. */
function report(...args: string[]): Promise<Outcome> {
  return new Promise(resolve => {
    execFile(process.execPath, [bin, 'report', ...args], { cwd: root }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, stdout, stderr });
    });
  });
}

it('writes the page of one run into its folder, over an older one', async () => {
  writeFileSync(at('fb-1/report.html'), 'older');
  const { code, stdout, stderr } = await report('fb-1');
  expect([code, stdout, linesOf(stderr)]).toEqual([0, `${join('fb-1', 'report.html')}\n`, []]);
  expect(readFileSync(at('fb-1/report.html'), 'utf8')).toContain('<h1>Flying Bird</h1>');
});

it('writes the page of several runs and their figures where it is told, and says so in JSON', async () => {
  const { code, stdout, stderr } = await inProcess([
    'report',
    at('fb-1'),
    at('fb-2'),
    '--out',
    at('two.html'),
    '--figures',
    at('figures'),
    '--json',
    '--quiet',
  ]);
  expect([code, stderr]).toEqual([0, '']);
  const told = JSON.parse(stdout);
  expect(told).toMatchObject({ report: at('two.html'), runs: 2, notices: [] });
  expect(readFileSync(at('two.html'), 'utf8')).toContain('Flying Bird (fb-2)');
  expect(readdirSync(at('figures')).sort()).toEqual(told.figures.map((path: string) => basename(path)).sort());
  expect(told.figures).toContain(at('figures/robust-accuracy-test.png'));
  expect(existsSync(at('report.html'))).toBe(false);
});

it('prints the table: Markdown, or what --format names', async () => {
  const markdown = await inProcess(['report', '--table', at('fb-1'), at('fb-2')]);
  expect([markdown.code, markdown.stderr]).toEqual([0, '']);
  expect(markdown.stdout).toMatch(/^\| Method .*\n\| --- .*\n\| Flying Bird \| [^|]* \| 1, 2 \| \d+\.\d\d ± \d+\.\d\d \|/);
  const { stdout } = await inProcess(['report', at('fb-1'), at('fb-2'), '--table', '--format', 'json']);
  expect(JSON.parse(stdout).rows).toHaveLength(1);
  expect(existsSync(at('report.html'))).toBe(false);
});

it('needs settings and numbers for the table, and no weights', async () => {
  writeFileSync(at('fb-2/checkpoint.safetensors'), 'no weights');
  const { code, stdout } = await inProcess(['report', '--table', at('fb-2')]);
  expect([code, stdout]).toEqual([0, expect.stringContaining('Flying Bird')]);
  expect(await inProcess(['report', at('fb-2'), '--quiet'])).toMatchObject({ code: 1, stdout: '' });
});

it('puts runs on different data sets, or one without an epoch, side by side and says so', async () => {
  const { code, stdout, stderr } = await report('fb-1', 'cifar', 'begun');
  expect([code, stdout]).toEqual([0, 'report.html\n']);
  const notices = [
    'The runs are on different data sets, their accuracies do not compare: shapes (Flying Bird, begun), cifar10 (Dense).',
    'No epoch has ended yet: begun.',
  ];
  expect(stderr).toBe(notices.map(notice => `sparrow: ${notice}\n`).join(''));
  const page = readFileSync(at('report.html'), 'utf8');
  for (const notice of notices) expect(page).toContain(`<p class="notice">${notice}</p>`);
  expect(page).not.toContain('<strong>');
});

it.each<[string, 1 | 2, string[], string]>([
  ['no run', 2, [], "missing required argument 'run'"],
  ['a run that is not there', 1, ['@/fb-1', '@/nowhere'], 'nowhere: no such folder; give the folder of a run (its --save-dir)'],
  ['a file', 1, ['@/fb-1/config.json'], 'fb-1/config.json: is a file; give the folder of a run (its --save-dir)'],
  [
    'a folder that is no run',
    1,
    ['@/empty'],
    "empty: not a run: it holds no config.json, metrics.jsonl or result.json; give a run's --save-dir",
  ],
  ['a run without an epoch', 1, ['@/begun'], 'begun: no epoch has ended yet; report it when metrics.jsonl has a line'],
  ['a broken line of metrics', 1, ['--table', '@/broken'], 'broken/metrics.jsonl, line 4: not JSON'],
  ['broken distances', 1, ['@/maps'], "maps/distances.json: 'distances' is no table of 2 x 2 numbers in [0, 1]"],
  ['one run twice', 2, ['@/fb-1', '@/./fb-1/'], '/./fb-1/ is given twice; name each run once'],
  [
    'a format that is none',
    2,
    ['--table', '--format', 'xml', '@/fb-1'],
    "--format must be one of markdown, csv, json, got 'xml'",
  ],
  ['a format without a table', 2, ['--format', 'csv', '@/fb-1'], '--format goes with --table'],
  ['a table as a page', 2, ['--table', '--out', '@/x.html', '@/fb-1'], '--out: --table only prints; give one of them'],
  [
    'figures where a file is',
    1,
    ['@/cifar', '--figures', '@/fb-1/config.json'],
    'fb-1/config.json: a file of that name is in the way',
  ],
  ['a page in no folder', 1, ['@/fb-1', '--out', '@/no/x.html'], 'no/x.html: its folder does not exist'],
])('refuses %s', async (_, code, args, message) => {
  const before = readdirSync(root).sort();
  const outcome = await inProcess(['report', ...args.map(arg => arg.replace('@', root))]);
  expect([outcome.code, outcome.stdout]).toEqual([code, '']);
  expect(outcome.stderr).toMatch(/^sparrow: [^\n]*\n$/);
  expect(outcome.stderr).toContain(message);
  expect(readdirSync(root).sort()).toEqual(before);
  expect(existsSync(at('cifar/report.html'))).toBe(false);
});
