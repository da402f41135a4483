/** Settings of the optimiser reach it: the weights after one step tell which rule made it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { shapes } from '../../src/data/shapes.ts';
import { resolveConfig, type TrainConfig } from '../../src/train/config.ts';
import { RunFolder } from '../../src/train/folder.ts';
import { trainRun } from '../../src/train/run.ts';
import { checkForward, testDevice } from '../engine.ts';
import { ref } from '../reference/array.ts';

const device = await testDevice();
const base = mkdtempSync(join(tmpdir(), 'sparrow-optimiser-'));
afterAll(() => rmSync(base, { recursive: true }));
const data = shapes({ seed: 3, train: 10, val: 2, test: 2 });

/** All weights after one standard step. */
async function afterOneStep(name: string, settings: Partial<TrainConfig>): Promise<Float64Array> {
  const saveDir = join(base, name);
  const fixed = { dataset: 'shapes', arch: 'resnet8', width: 2, mode: 'sgd', epochs: 1, batchSize: 10, testStep: 1 } as const;
  await trainRun(resolveConfig({ ...fixed, ...settings, saveDir }), {}, { device, data });
  const { model, momentum } = new RunFolder(saveDir).loadCheckpoint()!;
  return Float64Array.from([...momentum.keys()].flatMap(key => [...model.get(key)!.data]));
}

it('--nesterov: from rest, a step is 1 + momentum times the plain one', async () => {
  const settings = { lr: 0.1, momentum: 0.5, weightDecay: 0 };
  const start = await afterOneStep('start', { ...settings, lr: 0 });
  const plain = await afterOneStep('plain', settings);
  const nesterov = await afterOneStep('nesterov', { ...settings, nesterov: true });
  const moved = (weights: Float64Array) => weights.map((w, i) => w - start[i]);
  const [size] = [start.length];
  expect(moved(plain).some(d => d !== 0)).toBe(true);
  checkForward(
    '--nesterov',
    ref([size], moved(nesterov)),
    ref(
      [size],
      moved(plain).map(d => 1.5 * d),
    ),
  );
});
