/**
 * The demo: one small network on `shapes`, trained three ways (standard, dense adversarial, Flying Bird at 80 % sparsity), and a page that
 * shows what came out. Sized for two cores and a software adapter.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { shapes } from '../data/shapes.ts';
import { writeReport } from '../report/index.ts';
import type { DemoOptions, DemoOutcome, DemoRow, RunHooks } from '../train/api.ts';
import { resolveConfig, type TrainConfig } from '../train/config.ts';
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

export async function runDemo(options: DemoOptions, hooks: RunHooks): Promise<DemoOutcome> {
  const begun = performance.now();
  const data = shapes({ seed: 0, train: TRAIN, val: EVALUATE, test: EVALUATE });
  const device = await openTunedDevice({ adapter: options.adapter as 'auto', gpu: options.gpu }, hooks);
  hooks.onNotice?.(`on ${device.adapter.description}`);
  try {
    const rows: DemoRow[] = [];
    for (const { name, folder, epochs, settings } of ways) {
      const saveDir = join(options.saveDir, folder);
      rmSync(saveDir, { recursive: true, force: true });
      const config = resolveConfig({ ...shared, ...settings, epochs, seed: options.seed, saveDir });
      const named: RunHooks = { ...hooks, onProgress: p => hooks.onProgress?.({ ...p, label: `${name}: ${p.label}` }) };
      const outcome = await trainRun(config, named, { device, data, schedule: warmUp(epochs), label: name });
      if (outcome.interrupted) return { interrupted: true };
      const { final, density, flops } = outcome.result;
      rows.push({ name, sa: final.testSa, ra: final.testRa, density, trainFlops: flops.trainingReal });
    }
    const report = join(options.saveDir, 'report.html');
    writeReport(
      ways.map(w => join(options.saveDir, w.folder)),
      report,
      { title: 'Sparrow demo: standard, adversarial and sparse training' },
    );
    return { interrupted: false, rows, report, seconds: (performance.now() - begun) / 1000 };
  } finally {
    device.close();
  }
}
