/**
 * Every sparse method with every training mode, and with averaged weights and smoothed labels: an epoch on `shapes` with a thin network (three for
 * Flying Bird+, whose decisions compare epochs). After every mask update: the counts are exact, nothing is outside of the mask (weights, momentum), what was grown
 * is 0 and has no momentum, what was kept is the largest. At the end the average is masked too. Prints a line a cell. Robust Bird is in robust-bird.slow.test.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shapes } from '../../src/data/shapes.ts';
import { type Device, openDevice } from '../../src/device/index.ts';
import { maskedParameters } from '../../src/sparse/masks.ts';
import { resolveConfig, type TrainConfig } from '../../src/train/config.ts';
import { RunFolder } from '../../src/train/folder.ts';
import type { PlannedUpdate } from '../../src/train/mask-updates.ts';
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
  'Flying Bird+': { fbp: true, dynamicEpoch: 2, epochs: 3, updateThreshold: 0 },
  'FB+, threshold death, by magnitude': {
    ...{ fbp: true, dynamicEpoch: 2, epochs: 3, updateThreshold: 0 },
    ...{ death: 'threshold', deathThreshold: 0.05, redistribution: 'magnitude' },
  },
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

/** A layer as an update finds it or leaves it. */
interface LayerSnapshot {
  mask: Float32Array;
  weight: Float32Array;
  velocity: Float32Array;
  gradient: Float32Array | undefined;
  nnz: number;
}
type Snapshot = Map<string, LayerSnapshot>;

async function snapshot({ masks, model, velocity: velocities, dense }: MaskedState): Promise<Snapshot> {
  const found: Snapshot = new Map();
  for (const [name, p] of maskedParameters(model)) {
    const [mask, weight] = [await masks.masks.get(name)!.floats(), await p.floats()];
    const velocity = await velocities.get(name)!.floats();
    const nnz = mask.reduce((a, b) => a + b, 0);
    expect([name, nnz]).toEqual([name, masks.nnz(name)]);
    expect([name, mask.every(m => m === 0 || m === 1)]).toEqual([name, true]);
    expect([name, mask.every((m, i) => m === 1 || (weight[i] === 0 && velocity[i] === 0))]).toEqual([name, true]);
    found.set(name, { mask, weight, velocity, gradient: await dense.gradient?.get(name)?.floats(), nnz });
  }
  return found;
}

const activeOf = ({ mask }: LayerSnapshot) => [...mask.keys()].filter(i => mask[i] === 1);

/** How many weights a layer drops, and grows unless growth is shared out over layers. */
function countsOf(layer: LayerSnapshot, update: PlannedUpdate): { drop: number; grow: number } {
  const { mask, weight, nnz } = layer;
  if (nnz === mask.length) return { drop: 0, grow: 0 };
  const limit = Math.fround(update.deathThreshold!);
  const below = activeOf(layer).filter(i => Math.abs(weight[i]) <= limit).length;
  const amount = update.death === 'threshold' ? Math.min(below, nnz - 1) : update.rate * nnz;
  const base = Math.ceil(amount);
  const drop = Math.min(nnz, base + (update.decisions.prune ? Math.ceil(update.pruneRatio * amount) : 0));
  const grow = update.decisions.grow ? Math.floor(base * (1 + update.growthRatio)) : base;
  return { drop, grow: Math.min(grow, mask.length - nnz + drop) };
}

/** The active weights that a death rule must leave: the largest, by sign for SET, by |w·g| for CS_death. Of equal ones the first go. */
function survivors(layer: LayerSnapshot, update: PlannedUpdate): number[] {
  const { mask, weight, gradient, nnz } = layer;
  const { drop } = countsOf(layer, update);
  const active = activeOf(layer);
  const rank = (i: number) => Math.abs(update.death === 'CS_death' ? Math.fround(weight[i] * gradient![i]) : weight[i]);
  const without = (among: number[], count: number) => among.sort((a, b) => rank(a) - rank(b) || a - b).slice(count);
  if (nnz === mask.length) return active;
  if (update.death !== 'SET') return without(active, drop);
  const positive = active.filter(i => weight[i] > 0);
  const share = Math.round((drop * positive.length) / nnz);
  const others = active.filter(i => !(weight[i] > 0));
  return [...without(positive, share), ...without(others, drop - share)];
}

function checkUpdate(before: Snapshot, after: Snapshot, update: PlannedUpdate): void {
  const counts = new Map([...before].map(([name, layer]) => [name, countsOf(layer, update)]));
  const all = (s: Snapshot) => [...s.values()].reduce((n, l) => n + l.nnz, 0);
  expect(all(after)).toBe([...counts.values()].reduce((n, { drop, grow }) => n - drop + grow, all(before)));
  for (const [name, layer] of before) {
    const { mask, weight, velocity, nnz } = layer;
    const now = after.get(name)!;
    const { drop, grow } = counts.get(name)!;
    if (update.redistribution === 'none') expect([name, now.nnz]).toEqual([name, nnz - drop + grow]);
    expect([name, now.nnz > 0]).toEqual([name, true]);
    expect([name, survivors(layer, update).every(i => now.mask[i] === 1)]).toEqual([name, true]);
    // a weight that stays, or is dropped and grown at once, keeps its value; one that is new begins at 0
    const stays = (i: number) => mask[i] === 1 && now.mask[i] === 1;
    expect([name, now.weight.every((w, i) => w === (stays(i) ? weight[i] : 0))]).toEqual([name, true]);
    expect([name, now.velocity.every((v, i) => v === (stays(i) ? velocity[i] : 0))]).toEqual([name, true]);
  }
}

describe.each(Object.entries(methods))('%s', (method, settings) => {
  it.each(Object.keys(trainingModes) as ModeName[])('%s', mode => cell(method, mode, { ...settings, mode }));

  it('pgd, averaged weights and smoothed labels', () =>
    cell(method, 'pgd, ema', { ...settings, mode: 'pgd', ema: 0.9, labelSmoothing: 0.1 }));
});

async function cell(method: string, training: string, settings: Partial<TrainConfig>): Promise<void> {
  const saveDir = join(base, `${method}-${training}`);
  const config = resolveConfig({ ...thin, ...settings, saveDir });
  let updates = 0;
  let decided = 0;
  let before: Snapshot = new Map();
  const onMaskUpdate = async (when: 'before' | 'after', state: MaskedState) => {
    const now = await snapshot(state);
    if (when === 'after') {
      const { update } = state;
      checkUpdate(before, now, update);
      updates++;
      if (update.decisions.prune && update.decisions.grow) decided++;
    }
    before = now;
  };
  const begun = performance.now();
  const outcome = await trainRun(config, {}, { device, data, onMaskUpdate });
  if (outcome.interrupted) throw new Error('interrupted');
  const { masks, model, momentum, ema } = new RunFolder(saveDir).loadCheckpoint()!;
  for (const [name, { data: mask }] of masks) {
    const off = (values: Float32Array) => values.filter((v, i) => mask[i] === 0 && v !== 0).length;
    for (const group of [model, momentum, ...(ema ? [ema] : [])]) expect([name, off(group.get(name)!.data)]).toEqual([name, 0]);
  }
  expect(ema !== undefined).toBe(config.ema !== undefined);
  const moves = !config.fix && !config.imp && (config.fb || config.fbp || config.set || config.rigl || config.itop);
  expect(updates).toBe(moves ? 4 * config.epochs : 0);
  expect(decided).toBe(config.fbp ? 4 : 0); // all of the third epoch
  const { density, final } = outcome.result;
  if (config.fb || config.set || config.rigl || config.itop || config.fix || config.imp)
    expect(Math.abs(density - 0.3)).toBeLessThan(0.03);
  const numbers = `density ${density.toFixed(4)}  updates ${updates}  test SA ${final.testSa.toFixed(2)}`;
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  process.stdout.write(`${method.padEnd(40)} ${training.padEnd(8)} ${numbers}  ${seconds} s\n`);
}
