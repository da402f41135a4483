/**
 * The demo: one small network on `shapes`, trained three ways (standard, dense adversarial, Flying Bird at 80 % sparsity), and a page that
 * shows what came out. Sized for two cores and a software adapter.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ensureWritableFolder, readFileJson, writeFileAtomic } from '../data/files.ts';
import { shapes } from '../data/shapes.ts';
import { UsageError } from '../errors.ts';
import { writeReport } from '../report/index.ts';
import type { DemoOptions, DemoOutcome, DemoRow, RunHooks } from '../train/api.ts';
import { decodeConfig, encodeConfig, resolveConfig, type TrainConfig, trainFlags } from '../train/config.ts';
import { diffSettings } from '../train/flags.ts';
import { RUN_LOCK, RunFolder, whileLocked } from '../train/folder.ts';
import { openTunedDevice } from '../train/kernels.ts';
import { trainRun } from '../train/run.ts';

const TRAIN = 1280;
const EVALUATE = 64;
const LR = 0.2;

/** What the three runs share. Training PGD has 3 steps of 4/255, evaluation 20 of 2/255, eps is 8/255. */
const shared = {
  dataset: 'shapes',
  arch: 'resnet8',
  width: 8,
  batchSize: 32,
  lr: LR,
  trainStep: 3,
  trainGamma: 4,
  limit: TRAIN,
  evalLimit: EVALUATE,
  printFreq: 10,
} satisfies Partial<TrainConfig>;

interface Way {
  name: string;
  folder: string;
  epochs: number;
  settings: Partial<TrainConfig>;
}

const ways: readonly Way[] = [
  { name: 'standard', folder: 'standard', epochs: 3, settings: { mode: 'sgd' } },
  { name: 'dense adversarial', folder: 'adversarial', epochs: 3, settings: {} },
  {
    name: 'Flying Bird 80 %',
    folder: 'flying-bird',
    epochs: 3,
    settings: { fb: true, density: 0.2, growth: 'gradient', updateFrequency: 20 },
  },
];

/** Linear warm-up over the first fifth, then linear to zero: short runs need both. */
const warmUp = (epochs: number) => (epoch: number) =>
  LR * Math.min(1, (5 * epoch) / epochs + 0.02, (1.25 * (epochs - epoch)) / epochs);

const folderOf = (way: Way, { saveDir }: DemoOptions) => join(saveDir, way.folder);

function configOf(way: Way, options: DemoOptions): TrainConfig {
  const { epochs, settings } = way;
  return resolveConfig({ ...shared, ...settings, epochs, seed: options.seed, saveDir: folderOf(way, options) });
}

/** What the demo began in each of its folders: by this a later version, with other settings, knows them as its own. */
const marker = ({ saveDir }: DemoOptions) => join(saveDir, 'demo.json');

type Begun = Record<string, TrainConfig>;

function begunIn(options: DemoOptions): Begun {
  const path = marker(options);
  if (!existsSync(path)) return {};
  const entries = Object.entries((readFileJson(path) ?? {}) as Record<string, unknown>);
  return Object.fromEntries(entries.map(([name, config]) => [name, decodeConfig(JSON.stringify(config), path)]));
}

function noteBegun(way: Way, options: DemoOptions): void {
  ensureWritableFolder(options.saveDir);
  const configs = Object.entries({ ...begunIn(options), [way.folder]: configOf(way, options) });
  const texts = configs.map(([name, config]) => [name, JSON.parse(encodeConfig(config))]);
  writeFileAtomic(marker(options), `${JSON.stringify(Object.fromEntries(texts), null, 2)}\n`);
}

/**
 * A run of the demo takes the place of an earlier one, of whatever seed and version, and of nothing else.
 * @throws UsageError naming the folder, and what it holds instead
 */
function assertReplaceable(way: Way, options: DemoOptions): void {
  const folder = new RunFolder(folderOf(way, options));
  if (isEmpty(folder.path)) return;
  const saved = folder.loadConfig();
  const differences = (own: TrainConfig) => diffSettings(trainFlags, { ...saved!, seed: own.seed }, own);
  const earlier = begunIn(options)[way.folder];
  if (saved && earlier && differences(earlier).length === 0) return;
  const found = saved ? differences(configOf(way, options)) : ['files that are no run'];
  if (found.length === 0) return;
  const more = found.length > 2 ? `, and ${found.length - 2} more` : '';
  throw new UsageError(
    `${folder.path} holds something else than a run of this demo (${found.slice(0, 2).join(', ')}${more}); ` +
      'delete it or move it away, or give another --save-dir',
  );
}

/** Nothing, or what is left of a run that was killed before its first file. */
const isEmpty = (path: string) =>
  !existsSync(path) || (statSync(path).isDirectory() && readdirSync(path).every(name => name === RUN_LOCK));

/**
 * @throws UsageError if there is something in the folders of its runs that is no run of it
 * @throws FileError naming the process that has the demo in this folder already, if there is one
 */
export function runDemo(options: DemoOptions, hooks: RunHooks): Promise<DemoOutcome> {
  return whileLocked([new RunFolder(options.saveDir)], () => demo(options, hooks));
}

async function demo(options: DemoOptions, hooks: RunHooks): Promise<DemoOutcome> {
  const begun = performance.now();
  for (const way of ways) assertReplaceable(way, options);
  const data = shapes({ seed: 0, train: TRAIN, val: EVALUATE, test: EVALUATE });
  const device = await openTunedDevice({ adapter: options.adapter as 'auto', gpu: options.gpu }, hooks);
  hooks.onNotice?.(`on ${device.adapter.description}`);
  try {
    const rows: DemoRow[] = [];
    for (const way of ways) {
      const { name, epochs } = way;
      noteBegun(way, options);
      const named: RunHooks = { ...hooks, onProgress: p => hooks.onProgress?.({ ...p, label: `${name}: ${p.label}` }) };
      const outcome = await trainRun(configOf(way, options), named, { device, data, schedule: warmUp(epochs), label: name });
      if (outcome.interrupted) return { interrupted: true };
      const { final, density, flops } = outcome.result;
      rows.push({ name, sa: final.testSa, ra: final.testRa, density, trainFlops: flops.trainingReal });
    }
    const report = join(options.saveDir, 'report.html');
    writeReport(
      ways.map(way => folderOf(way, options)),
      report,
      { title: 'Sparrow demo: standard, adversarial and sparse training' },
    );
    return { interrupted: false, rows, report, seconds: (performance.now() - begun) / 1000 };
  } finally {
    device.close();
  }
}
