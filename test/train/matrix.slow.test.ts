/**
 * Every sparse method with every training mode: an epoch on `shapes` with a thin network. After every mask update: the counts are exact, nothing is outside
 * of the mask (weights, momentum, average), what was grown is 0, what was kept is the largest. Prints a line a cell.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shapes } from '../../src/data/shapes.ts';
import { type Device, openDevice } from '../../src/device/index.ts';
import { updateCounts } from '../../src/sparse/flying-bird.ts';
import { maskedParameters, type UpdateOptions } from '../../src/sparse/masks.ts';
import { resolveConfig, type TrainConfig } from '../../src/train/config.ts';
import { RunFolder } from '../../src/train/folder.ts';
import { type ModeName, trainingModes } from '../../src/train/modes/index.ts';
import { type MaskedState, trainRun } from '../../src/train/run.ts';

const base = mkdtempSync(join(tmpdir(), 'sparrow-matrix-'));
const data = shapes({ seed: 3, train: 64, val: 16, test: 16 });
let device: Device;
/** What OMP prunes. */
const pretrained = join(base, 'pretrained');
beforeAll(async () => {
  device = await openDevice();
  const config = resolveConfig({ ...thin, mode: 'sgd', saveDir: pretrained });
  await trainRun(config, {}, { device, data });
});
afterAll(() => {
  device.close();
  rmSync(base, { recursive: true, force: true });
});

const thin = {
  dataset: 'shapes',
  arch: 'resnet8',
  width: 2,
  batchSize: 16,
  epochs: 1,
  trainStep: 2,
  testStep: 2,
  replays: 2,
  density: 0.3,
  updateFrequency: 1,
} satisfies Partial<TrainConfig>;

const methods: Record<string, Partial<TrainConfig>> = {
  dense: {},
  'small-dense': { width: 4, scale: 0.26 },
  'Flying Bird': { fb: true },
  'Flying Bird+': { fbp: true, dynamicEpoch: 0 },
  SET: { set: true },
  RigL: { rigl: true, updateFrequency: 1, updateEnd: 1 },
  ITOP: { itop: true },
  IMP: { imp: true, impRate: 0.6 },
  OMP: { fix: true, sparseInit: 'omp', init: join(pretrained, 'checkpoint.safetensors') },
  'FB, momentum growth and redistribution': { fb: true, growth: 'momentum', redistribution: 'momentum' },
  'FB, momentum_neuron, by magnitude': { fb: true, growth: 'momentum_neuron', redistribution: 'magnitude' },
  'FB, threshold death, by nonzeros': { fb: true, death: 'threshold', deathThreshold: 0.05, redistribution: 'nonzeros' },
  'FB, SET death, linear decay': { fb: true, death: 'SET', decaySchedule: 'linear' },
  'FB, CS_death': { fb: true, death: 'CS_death' },
  ...Object.fromEntries(
    (['igq', 'uniform', 'erk', 'er', 'random', 'magnitude', 'snip', 'grasp', 'synflow'] as const).map(sparseInit => [
      `fixed ${sparseInit}`,
      { fix: true, sparseInit } satisfies Partial<TrainConfig>,
    ]),
  ),
};

/** What an update found, by layer. */
type Snapshot = Map<string, { mask: Float32Array; weight: Float32Array; gradient: Float32Array | undefined; nnz: number }>;

async function snapshot({ masks, model, velocity, dense }: MaskedState): Promise<Snapshot> {
  const found: Snapshot = new Map();
  for (const [name, p] of maskedParameters(model)) {
    const [mask, weight, v] = [await masks.masks.get(name)!.floats(), await p.floats(), await velocity.get(name)!.floats()];
    const nnz = mask.reduce((a, b) => a + b, 0);
    expect([name, nnz]).toEqual([name, masks.nnz(name)]);
    expect([name, mask.every(m => m === 0 || m === 1)]).toEqual([name, true]);
    expect([name, mask.every((m, i) => m === 1 || (weight[i] === 0 && v[i] === 0))]).toEqual([name, true]);
    found.set(name, { mask, weight, gradient: await dense.gradient?.get(name)?.floats(), nnz });
  }
  return found;
}

/** The active weights that a death rule must leave: the largest, by sign for SET, by |w·g| for CS_death. Of equal ones the first go. */
function survivors({ mask, weight, gradient, nnz }: NonNullable<ReturnType<Snapshot['get']>>, update: UpdateOptions): number[] {
  const { drop } = updateCounts(nnz, mask.length, update.rate * nnz, update.decisions, update);
  const active = [...mask.keys()].filter(i => mask[i] === 1);
  const rank = (i: number) => Math.abs(update.death === 'CS_death' ? Math.fround(weight[i] * gradient![i]) : weight[i]);
  const without = (among: number[], count: number) => among.sort((a, b) => rank(a) - rank(b) || a - b).slice(count);
  if (nnz === mask.length) return active;
  if (update.death === 'threshold') {
    const limit = Math.fround(update.deathThreshold!);
    const below = active.filter(i => Math.abs(weight[i]) <= limit).length;
    return without(active, Math.min(below, Math.max(0, nnz - 1)));
  }
  if (update.death === 'magnitude' || update.death === 'CS_death') return without(active, drop);
  const positive = active.filter(i => weight[i] > 0);
  const share = Math.round((drop * positive.length) / nnz);
  const others = active.filter(i => !(weight[i] > 0));
  return [...without(positive, share), ...without(others, drop - share)];
}

function checkUpdate(before: Snapshot, after: Snapshot, update: UpdateOptions): void {
  const total = (s: Snapshot) => [...s.values()].reduce((n, l) => n + l.nnz, 0);
  const steady = !update.decisions.prune && !update.decisions.grow;
  if (steady) expect(total(after)).toBe(total(before));
  for (const [name, layer] of before) {
    const { mask, weight, nnz } = layer;
    const now = after.get(name)!;
    if (steady && update.redistribution === 'none') expect([name, now.nnz]).toEqual([name, nnz]);
    expect([name, survivors(layer, update).every(i => now.mask[i] === 1)]).toEqual([name, true]);
    // a weight that stays, or is dropped and grown at once, keeps its value; one that is new begins at 0
    expect([name, now.weight.every((w, i) => w === (mask[i] === 1 && now.mask[i] === 1 ? weight[i] : 0))]).toEqual([name, true]);
  }
}

describe.each(Object.entries(methods))('%s', (method, settings) => {
  it.each(Object.keys(trainingModes) as ModeName[])('%s', async mode => {
    const saveDir = join(base, `${method}-${mode}`);
    const config = resolveConfig({ ...thin, mode, ...settings, saveDir });
    let updates = 0;
    let before: Snapshot = new Map();
    const onMaskUpdate = async (when: 'before' | 'after', state: MaskedState) => {
      const now = await snapshot(state);
      if (when === 'after') {
        checkUpdate(before, now, state.update);
        updates++;
      }
      before = now;
    };
    const begun = performance.now();
    const outcome = await trainRun(config, {}, { device, data, onMaskUpdate });
    if (outcome.interrupted) throw new Error('interrupted');
    const { masks, model, momentum } = new RunFolder(saveDir).loadCheckpoint()!;
    for (const [name, { data: mask }] of masks) {
      const off = (values: Float32Array) => values.filter((v, i) => mask[i] === 0 && v !== 0).length;
      expect([name, off(model.get(name)!.data), off(momentum.get(name)!.data)]).toEqual([name, 0, 0]);
    }
    const moves = !config.fix && !config.imp && (config.fb || config.fbp || config.set || config.rigl || config.itop);
    expect(updates).toBe(moves ? 4 : 0);
    const { density, final } = outcome.result;
    if (config.fb || config.set || config.rigl || config.itop || config.fix || config.imp)
      expect(Math.abs(density - 0.3)).toBeLessThan(0.03);
    const cell = `${method.padEnd(40)} ${mode.padEnd(7)} density ${density.toFixed(4)}  updates ${updates}  test SA ${final.testSa.toFixed(2)}`;
    console.log(`${cell}  ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  });
});
