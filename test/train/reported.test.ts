/** That the numbers which a run reports are those of the rules: best by validation, the gap of the final model, the learning rate that steps take. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { DeviceSplit } from '../../src/data/device-split.ts';
import { shapes } from '../../src/data/shapes.ts';
import { attackSettings, resolveConfig, type TrainConfig } from '../../src/train/config.ts';
import { Evaluator } from '../../src/train/evaluator.ts';
import { RunFolder } from '../../src/train/folder.ts';
import type { EpochHistory } from '../../src/train/metrics.ts';
import { loadNetwork, readNetworkFile } from '../../src/train/network-file.ts';
import { type Findings, summarise } from '../../src/train/result.ts';
import { trainRun } from '../../src/train/run.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
const base = mkdtempSync(join(tmpdir(), 'sparrow-reported-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));
const data = shapes({ seed: 3, train: 56, val: 16, test: 16 });
let folders = 0;

const small = { dataset: 'shapes', arch: 'resnet8', width: 4, batchSize: 14, lr: 0.05, trainStep: 2, testStep: 2 } as const;
const configOf = (given: Partial<TrainConfig>) => resolveConfig({ ...small, saveDir: join(base, `run${folders++}`), ...given });

/** The folder of a run that has ended. */
async function run(given: Partial<TrainConfig>, of = data): Promise<RunFolder> {
  const config = configOf(given);
  await trainRun(config, {}, { device, data: of });
  return new RunFolder(config.saveDir!);
}
const historyOf = (folder: RunFolder) => folder.loadCheckpoint()!.history;

it('the best epoch is the first of the highest validation RA, whatever test says', () => {
  const config = configOf({});
  const accuracy = fc.integer({ min: 0, max: 4 }).map(n => n / 4);
  const epochs = fc.array(fc.record({ valRa: accuracy, testRa: accuracy, testSa: accuracy }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(epochs, accuracy, (rows, trainRa) => {
      const history = rows.map((row, epoch) => ({ ...row, epoch, density: 1 })) as unknown as EpochHistory[];
      const result = summarise(config, history, { trainRa } as Findings);
      const highest = Math.max(...rows.map(row => row.valRa));
      const best = rows.findIndex(row => row.valRa === highest);
      const last = rows[rows.length - 1];
      expect(result.best).toEqual({ epoch: best, ...rows[best] });
      expect(result.final).toEqual({ epoch: rows.length - 1, ...last });
      expect(result.difference).toEqual({ sa: rows[best].testSa - last.testSa, ra: rows[best].testRa - last.testRa });
      expect(result.gap).toEqual({ trainRa, testRa: last.testRa, gap: trainRa - last.testRa });
    }),
  );
});

it('best-ra and best-sa are of the epochs with the highest validation RA and SA', async () => {
  const folder = await run({ epochs: 5, mode: 'sgd', lr: 0.2, decreasingLr: [9] });
  const history = historyOf(folder);
  const first = (key: 'valRa' | 'valSa') => history.findIndex(row => row[key] === Math.max(...history.map(r => r[key])));
  const epochOf = (name: 'best-ra' | 'best-sa') => folder.loadCheckpoint(name)!.epoch - 1;
  expect([epochOf('best-ra'), epochOf('best-sa')]).toEqual([first('valRa'), first('valSa')]);
  expect(folder.loadResult()!.best.epoch).toBe(first('valRa'));
});

it('the gap is that of the final model under the attack of evaluation, on training images as they are', async () => {
  const augmented = { ...data, augment: { crop: 4, flip: true, rotate: 15 } };
  const given = { epochs: 3, mode: 'sgd', testRandinit: false, testEps: 64, testGamma: 32 } as const;
  const folder = await run(given, augmented);
  const file = readNetworkFile(folder.file('checkpoint.safetensors'));
  const model = loadNetwork(device, file, data, {});
  const split = new DeviceSplit(device, data.train, data.shape, 1);
  const evaluator = new Evaluator(device, model, attackSettings(configOf(given), 'test'), 1);
  const { sa, ra } = (await evaluator.score(split, 56, 56, 0))!;
  const { gap, final } = folder.loadResult()!;
  expect(gap).toEqual({ trainRa: ra, testRa: final.testRa, gap: ra - final.testRa });
  expect(ra).toBeLessThan(sa); // or the attack would not be seen
  evaluator.dispose();
  split.dispose();
  model.dispose();
});

it('with --ema the average is what is scored, and what the best checkpoints hold as the model', async () => {
  const [plain, averaged] = [await run({ epochs: 1, mode: 'sgd' }), await run({ epochs: 1, mode: 'sgd', ema: 0.9 })];
  const [{ model }, { model: trained, ema }] = [plain, averaged].map(folder => folder.loadCheckpoint()!);
  const values = (tensors: typeof model) => [...tensors].map(([name, t]) => [name, [...t.data]]);
  expect(values(trained)).toEqual(values(model)); // training does not see the average
  expect(values(averaged.loadCheckpoint('best-ra')!.model)).toEqual(values(ema!));
  const [[one], [other]] = [plain, averaged].map(historyOf);
  expect([other.trainRa, other.valLoss === one.valLoss]).toEqual([one.trainRa, false]);
});

it('steps take the learning rate of the schedule: a tenth from --decreasing-lr on, or the cycle', async () => {
  // one step an epoch, on all images and without momentum, moves weights by lr times a gradient
  const step = { epochs: 2, mode: 'sgd', batchSize: 56, momentum: 0, weightDecay: 0, shuffle: false } as const;
  const weightOf = (folder: RunFolder) => folder.loadCheckpoint()!.model.get('linear.weight')!.data;
  const after = async (given: Partial<TrainConfig>) => weightOf(await run({ ...step, ...given }));
  const start = await after({ lr: 0 });
  const first = await after({ epochs: 1 });
  const kept = await after({ decreasingLr: [9] });
  const dropped = await after({ decreasingLr: [1] });
  const cycle = await after({ lrSchedule: 'cyclic' });
  for (let i = 0; i < start.length; i++) {
    expect(dropped[i] - first[i]).toBeCloseTo((kept[i] - first[i]) / 10, 6);
    // the cycle of two epochs is at 5/6 of its height after the first, and at 0 after the second
    expect(cycle[i] - start[i]).toBeCloseTo(((first[i] - start[i]) * 5) / 6, 6);
  }
  expect(Math.max(...start.map((v, i) => Math.abs(kept[i] - first[i]) + Math.abs(first[i] - v)))).toBeGreaterThan(1e-3);
});
