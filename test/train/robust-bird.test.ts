/**
 * Robust Bird on the real device: both stages, what is pruned between them, what is left on the disk, resuming to the same bits,
 * bad input.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { encodeSafetensors, type StoredTensor } from '../../src/data/safetensors.ts';
import { shapes } from '../../src/data/shapes.ts';
import { FileError, UsageError } from '../../src/errors.ts';
import { keepChannels } from '../../src/nn/channels.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { readState } from '../../src/nn/state.ts';
import { Random } from '../../src/tensor/philox.ts';
import type { RobustBirdResult, RunHooks } from '../../src/train/api.ts';
import { type Checkpoint, identityOf } from '../../src/train/checkpoint.ts';
import { resolveConfig } from '../../src/train/config.ts';
import { RunFolder } from '../../src/train/folder.ts';
import { layerWork } from '../../src/train/layer-work.ts';
import { readNetworkFile } from '../../src/train/network-file.ts';
import { trainRobustBird } from '../../src/train/robust-bird/run.ts';
import { type RobustBirdSettings, resolveRobustBird } from '../../src/train/robust-bird/settings.ts';
import type { DistanceRecord } from '../../src/train/robust-bird/watch.ts';
import { trainRun } from '../../src/train/run.ts';
import { testDevice } from '../engine.ts';
import * as reference from '../reference/early-bird.ts';

const device = await testDevice();
const base = mkdtempSync(join(tmpdir(), 'sparrow-robust-bird-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));
const data = shapes({ seed: 3, train: 16, val: 4, test: 4 });
let folders = 0;
const newFolder = () => join(base, `rb${folders++}`);

const small: Partial<RobustBirdSettings> = {
  dataset: 'shapes',
  arch: 'resnet8',
  width: 4,
  batchSize: 8,
  lr: 0.05,
  trainStep: 2,
  testStep: 1,
  stage1: 'sgd',
  epochs1: 1,
  stage2: 'sgd',
  epochs2: 1,
  pruning: 'unstructured',
  density: 0.3,
};
const run = (settings: Partial<RobustBirdSettings>, hooks: RunHooks = {}) =>
  trainRobustBird(resolveRobustBird({ ...small, ...settings }), hooks, { device, data });

async function train(settings: Partial<RobustBirdSettings>) {
  const saveDir = newFolder();
  const notices: string[] = [];
  const outcome = await run({ saveDir, ...settings }, { onNotice: line => void notices.push(line) });
  if (outcome.interrupted) throw new Error('nobody interrupted it');
  const [first, second] = [1, 2].map(stage => new RunFolder(`${saveDir}_stage${stage}`));
  return { saveDir, notices, result: outcome.result, first, second };
}
/** A run that several tests read. */
let shared: ReturnType<typeof train> | undefined;
const trained = () => {
  shared ??= train({});
  return shared;
};
const distancesOf = (folder: RunFolder): DistanceRecord => JSON.parse(readFileSync(folder.file('distances.json'), 'utf8'));
const sha = (folder: RunFolder, name = 'checkpoint.safetensors') =>
  createHash('sha256')
    .update(readFileSync(folder.file(name)))
    .digest('hex');
const ofBothStages = 'training is the sum of both stages, of the dense network stage 2 alone';
const weightsOf = ({ model }: Checkpoint, ranks: readonly number[]) =>
  [...model]
    .filter(([, { shape }]) => ranks.includes(shape.length))
    .map(([name, { data: values }]) => [name, [...values]] as const);

describe('stage 1', () => {
  it('ends when the masks have settled, and says so', async () => {
    // without a learning rate nothing moves: the first full queue is the ticket
    const { result, first, notices } = await train({ lr: 0, epochs1: 9 });
    expect(result.ticket).toEqual({ emerged: true, epoch: 4, checkpoint: first.file('checkpoint.safetensors') });
    expect(first.loadCheckpoint()!.epoch).toBe(5);
    const five = [0, 1, 2, 3, 4];
    expect(distancesOf(first)).toEqual({
      pruning: 'unstructured',
      density: 0.3,
      threshold: 0.08,
      emerged: 4,
      epochs: five,
      distances: five.map(() => five.map(() => 0)),
    });
    expect(notices).toContain('the ticket emerged in epoch 4: its mask is within 0.08 of those of the four epochs before');
    expect(existsSync(first.file('epoch-masks'))).toBe(false);
  });

  it('uses its last epoch where no ticket emerged, and says so', async () => {
    const { result, first, notices } = await train({ epochs1: 3, pruning: 'channel', density: 0.5 });
    expect(result.ticket).toMatchObject({ emerged: false, epoch: 2 });
    expect(JSON.parse(readFileSync(first.file('result.json'), 'utf8')).ticket).toMatchObject({ emerged: false, epoch: 2 });
    const { emerged, epochs, threshold, distances } = distancesOf(first);
    expect([emerged, epochs, threshold]).toEqual([null, [0, 1, 2], 0.1]);
    expect(distances.map((row, a) => row[a])).toEqual([0, 0, 0]);
    expect(distances).toEqual(epochs.map(a => epochs.map(b => distances[b][a])));
    expect(distances[1][0]).toBeGreaterThan(0);
    expect(notices).toContain('no ticket emerged in 3 epochs: the network of the last is pruned');
  });
});

describe('stage 1 with --init', () => {
  it('starts from these weights, also where it goes on before its first checkpoint, and not again after it', async () => {
    const weights = (await trained()).second.loadCheckpoint()!; // its masks are not kept: stage 1 is dense
    const given = new RunFolder(newFolder());
    given.prepare();
    given.saveCheckpoint(weights);
    const [saveDir, init] = [newFolder(), given.file('checkpoint.safetensors')];
    const killed = () => {
      throw new Error('killed');
    };
    await expect(run({ saveDir, init, lr: 0 }, { onProgress: killed })).rejects.toThrow('killed');
    let looks = 0;
    await run({ saveDir, init, lr: 0, resume: true }, { shouldStop: () => ++looks > 1 });
    const first = new RunFolder(`${saveDir}_stage1`).loadCheckpoint()!;
    expect(weightsOf(first, [2, 4]).map(([name, values]) => [name, values.map(v => v + 0)])).toEqual(
      weightsOf(weights, [2, 4]).map(([name, values]) => [name, values.map(v => v + 0)]),
    );
    expect(first.masks.size).toBe(0);
    given.remove('checkpoint.safetensors');
    const outcome = await run({ saveDir, init, lr: 0, resume: true });
    expect(outcome.interrupted).toBe(false);
  });

  it.each<[string, (pruned: string) => string, string]>([
    ['a network whose channels are pruned', pruned => pruned, ': is pruned already; Robust Bird prunes a dense checkpoint'],
    ['a file that is not there', () => join(base, 'none.pth'), 'none.pth: it does not exist'],
  ])('refuses %s, and makes no folder', async (_, init, message) => {
    const { second } = await train({ pruning: 'channel', density: 0.5 });
    const saveDir = newFolder();
    await expect(run({ saveDir, init: init(second.file('checkpoint.safetensors')) })).rejects.toThrow(message);
    expect([1, 2].map(stage => existsSync(`${saveDir}_stage${stage}`))).toEqual([false, false]);
  });
});

it('refuses to start from a checkpoint of its own folders, and keeps it', async () => {
  const { saveDir, first, second } = await train({});
  const before = [first, second].map(folder => sha(folder));
  for (const folder of [first, second])
    await expect(run({ saveDir, init: folder.file('checkpoint.safetensors') })).rejects.toThrow(': the run would start from');
  expect([first, second].map(folder => sha(folder))).toEqual(before);
});

describe('stage 2', () => {
  it('of weights: trains under the fixed mask of the largest of all layers, and counts the work of both stages', async () => {
    const { result, first, second } = await train({ stage2: 'pgd', epochs2: 2 });
    const dense = weightsOf(first.loadCheckpoint()!, [2, 4]);
    const ticket = reference.ticket(
      dense.flatMap(([, values]) => values),
      0.3,
    );
    const pruned = second.loadCheckpoint()!;
    expect(dense.flatMap(([name]) => [...pruned.masks.get(name)!.data])).toEqual(ticket.map(Number));
    for (const [name, { data: mask }] of pruned.masks) {
      const outside = (values: Float32Array) => values.some((v, i) => mask[i] === 0 && v !== 0);
      expect([name, outside(pruned.model.get(name)!.data), outside(pruned.momentum.get(name)!.data)]).toEqual([
        name,
        false,
        false,
      ]);
    }
    expect(result.density).toBe(ticket.filter(Boolean).length / ticket.length);
    const [one, two] = [first.loadResult()!, result];
    const pgd = one.flops.formula.replace('(3)', '(3 + 2·attack steps)');
    expect(two.flops.formula).toBe(`stage 1: ${one.flops.formula}; stage 2: ${pgd}; ${ofBothStages}`);
    expect(two.flops.trainingDense).toBe(2 * 16 * 7 * two.flops.inferenceDense); // without stage 1, as a dense run of stage 2
    expect(two.flops.trainingReal).toBe(one.flops.trainingReal + 2 * 16 * 7 * two.flops.inferenceReal);
    expect(JSON.parse(readFileSync(second.file('result.json'), 'utf8'))).toEqual(result);
    expect([result.label, result.mode, result.stage1]).toEqual(['Robust Bird', 'pgd', 'sgd']);
  });

  it('is training of its own from the weights of stage 1: momentum, schedule and epochs begin anew', async () => {
    const { first, second } = await train({ epochs1: 2, epochs2: 2, stage2: 'pgd', decreasingLr: [1] });
    const saveDir = newFolder();
    const init = first.file('checkpoint.safetensors');
    const masked = { fix: true, sparseInit: 'magnitude', density: 0.3 } as const;
    const alone = resolveConfig({ ...first.loadConfig(), ...masked, mode: 'pgd', init, saveDir });
    await trainRun(alone, {}, { device, data });
    expect(sha(second)).toBe(sha(new RunFolder(saveDir)));
    expect(second.loadCheckpoint()!.history.map(({ epoch, lr }) => [epoch, lr])).toEqual([
      [0, 0.05],
      [1, expect.closeTo(0.005, 12)],
    ]);
  });

  it('is refused where another run is in the folder of stage 1', async () => {
    const { saveDir, first } = await train({});
    const config = first.loadConfig()!;
    first.saveConfig({ ...config, lr: 0.02 });
    await expect(run({ saveDir, resume: true })).rejects.toThrow(
      `cannot resume ${first.path} with other settings: --lr was 0.02, now 0.05`,
    );
  });

  it('of channels: the network is smaller, and its checkpoint is rebuilt by everything that reads one', async () => {
    const { result, first, second } = await train({ pruning: 'channel', density: 0.5 });
    const dense = first.loadCheckpoint()!;
    const gammas = (...names: string[]) => names.map(name => [...dense.model.get(`${name}.weight`)!.data]);
    const kept = reference.channels(
      [
        gammas('blocks.0.bn1', 'blocks.1.bn1'),
        gammas('blocks.0.bn2'),
        gammas('blocks.1.bn2'),
        gammas('blocks.2.bn1'),
        gammas('blocks.2.bn2'),
        gammas('bn'),
      ],
      0.5,
    );
    const widths = kept.map(k => k.length);
    expect(result.ticket.channels).toEqual({ kept: widths.reduce((a, b) => a + b), of: 56 });
    const pruned = second.loadCheckpoint()!;
    expect(Object.values(pruned.widths!)).toEqual(widths);
    const count = (c: Checkpoint) => weightsOf(c, [2, 4]).reduce((n, [, values]) => n + values.length, 0);
    expect(result.density).toBe(count(pruned) / count(dense));
    expect(result.flops.inferenceReal).toBeLessThan(0.5 * result.flops.inferenceDense);
    expect(result.flops.inferenceDense).toBe(first.loadResult()!.flops.inferenceDense);

    const path = second.file('checkpoint.safetensors');
    const { model, metadata } = readNetworkFile(path);
    const work = await layerWork(model, identityOf(metadata) as Checkpoint, path);
    expect([...work.values()].reduce((a, b) => a + b)).toBe(result.flops.inferenceReal);
  });
});

it('writes the result of each stage once, with the ticket, the work and the time of what was before; a lost one comes back', async () => {
  const saves = vi.spyOn(RunFolder.prototype, 'saveResult');
  const { saveDir, result, first, second } = await train({});
  const written = saves.mock.calls.map(([what]) => what);
  saves.mockRestore();
  expect(written).toEqual([first.loadResult(), result]);
  expect(result.flops.formula).toBe(`${first.loadResult()!.flops.formula}; ${ofBothStages}`); // both stages are sgd
  const { emerged, epoch } = result.ticket;
  expect([emerged, epoch, written[0]]).toEqual([false, 0, expect.objectContaining({ ticket: result.ticket })]);
  for (const folder of [first, second]) folder.remove('result.json');
  const again = await run({ saveDir, resume: true });
  expect(again).toEqual({ interrupted: false, result: second.loadResult() });
  expect({ ...second.loadResult(), seconds: 0 }).toEqual({ ...result, seconds: 0, firstStep: undefined });
  expect(first.loadResult()).toMatchObject({ ticket: result.ticket });
});

/** Same bits after any interruption, in whichever stage. */
describe('a run that is stopped anywhere and resumed gives the same bits', () => {
  it.each<[string, Partial<RobustBirdSettings>]>([
    ['unstructured', { pruning: 'unstructured', stage2: 'fast' }],
    ['channel', { pruning: 'channel', stage2: 'pgd', density: 0.5, ema: 0.5 }],
  ])('%s', async (_, settings) => {
    const whole = await train({ ...settings, epochs1: 2 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }), async stops => {
        const saveDir = newFolder();
        let result: RobustBirdResult | undefined;
        for (const [i, stop] of [...stops, 1000].entries()) {
          let asked = 0;
          const outcome = await run({ ...settings, epochs1: 2, saveDir, resume: i > 0 }, { shouldStop: () => ++asked >= stop });
          if (!outcome.interrupted) result = outcome.result;
        }
        const [first, second] = [1, 2].map(stage => new RunFolder(`${saveDir}_stage${stage}`));
        expect([sha(first), sha(second)]).toEqual([sha(whole.first), sha(whole.second)]);
        expect(sha(first, 'distances.json')).toBe(sha(whole.first, 'distances.json'));
        const times = { seconds: 0, firstStep: undefined };
        expect({ ...result!, ...times, ticket: { ...result!.ticket, checkpoint: '' } }).toEqual({
          ...whole.result,
          ...times,
          ticket: { ...whole.result.ticket, checkpoint: '' },
        });
      }),
      { numRuns: 2 },
    );
  });

  it('not what an older run left in its folders', async () => {
    const older = await train({ seed: 5 });
    const fresh = await train({ seed: 7 });
    const { saveDir } = older;
    const killed = () => {
      throw new Error('killed');
    };
    await expect(run({ seed: 7, saveDir }, { onProgress: killed })).rejects.toThrow('killed');
    for (const { path } of [older.first, older.second]) expect(readFileSync(join(path, 'metrics.jsonl'), 'utf8')).toBe('');
    await run({ seed: 7, saveDir, resume: true });
    expect([sha(older.first), sha(older.second)]).toEqual([sha(fresh.first), sha(fresh.second)]);
  });

  it('only with the settings it was begun with', async () => {
    const { saveDir } = await trained();
    await expect(run({ saveDir, resume: true, pruning: 'channel', density: 0.5 })).rejects.toThrow(
      /cannot resume .*_stage2 with other settings: --pruning was 'unstructured', now 'channel'; --density was 0.3, now 0.5; repeat/,
    );
  });
});

describe('a pretrained checkpoint takes the place of stage 1', () => {
  it('and is pruned as it is', async () => {
    const { first } = await trained();
    const stage1Pretrained = first.file('checkpoint.safetensors');
    const again = await train({ stage1: undefined, stage1Pretrained, pruning: 'channel', density: 0.4 });
    expect(again.result).toMatchObject({ stage1: null, ticket: { emerged: false, epoch: null, checkpoint: stage1Pretrained } });
    expect(existsSync(again.first.path)).toBe(false);
    const { trainingDense, inferenceDense } = again.result.flops;
    expect(trainingDense).toBe(16 * 3 * inferenceDense);
  });

  it('is dense still after a pruning that kept every channel', async () => {
    const { second } = await train({ pruning: 'channel', density: 1 });
    const stage1Pretrained = second.file('ticket.safetensors');
    const { result } = await train({ stage1: undefined, stage1Pretrained, pruning: 'channel', density: 0.5 });
    expect(result.ticket.channels).toEqual({ kept: 28, of: 56 });
  });

  it('keeps one channel of a layer that would lose all, and says so', async () => {
    const { first } = await trained();
    const checkpoint = first.loadCheckpoint()!;
    checkpoint.model.get('blocks.1.bn2.weight')!.data.set([0, 0, 1e-3, 0, 0, 0, 0, 0]);
    checkpoint.model.get('blocks.2.bn2.weight')!.data.fill(0);
    first.saveCheckpoint(checkpoint, 'best-ra');
    const stage1Pretrained = first.file('best-ra.safetensors');
    const { notices, second, result } = await train({ stage1: undefined, stage1Pretrained, pruning: 'channel', density: 0.4 });
    expect(notices).toContain(
      'channel pruning would remove every channel of blocks.1.conv1, blocks.2.conv1: the one with the largest gamma is kept',
    );
    const { widths, model } = second.loadCheckpoint('ticket')!;
    expect([widths!['blocks.1.conv1'], widths!['blocks.2.conv1']]).toEqual([1, 1]);
    expect(model.get('blocks.1.bn2.weight')!.data[0]).toBeCloseTo(1e-3, 9);
    expect(result.ticket.channels!.kept).toBe(23 + 2);
  });

  it.each<[string, Partial<RobustBirdSettings>, typeof FileError | typeof UsageError, RegExp]>([
    ['of another architecture', { arch: 'resnet18' }, FileError, /checkpoint\.safetensors: arch is resnet8, not resnet18$/],
    ['of another width', { width: 8 }, FileError, /checkpoint\.safetensors: width is 4, not 8$/],
    [
      'and a density that keeps no weight',
      { density: 1e-6 },
      UsageError,
      /^--density 0.000001 would keep 0.0050 of 5036 weights: the nearest that this initial mask reaches is 0.0001986$/,
    ],
    [
      'and a density that keeps too few channels',
      { pruning: 'channel', density: 0.05 },
      UsageError,
      /^--density 0.05 would keep 3 of 56 channels in 6 layers: the nearest that channel pruning reaches is 0.08929$/,
    ],
  ])('%s is refused, and no folder is made', async (_, settings, kind, message) => {
    const { first } = await trained();
    const saveDir = newFolder();
    const given = { stage1: undefined, stage1Pretrained: first.file('checkpoint.safetensors'), saveDir, ...settings };
    const refusal = await run(given).catch(error => error);
    expect(refusal).toBeInstanceOf(kind);
    expect(refusal.message).toMatch(message);
    expect([1, 2].map(stage => existsSync(`${saveDir}_stage${stage}`))).toEqual([false, false]);
  });

  it('is refused when it was pruned before, also where only the shapes of a state_dict say so', async () => {
    const { second } = await trained();
    const cut = createModel(
      'resnet8',
      { device, random: new Random(1) },
      { width: 4, classes: 10, mean: [0, 0, 0], std: [1, 1, 1] },
    );
    keepChannels(
      cut,
      cut.channelGroups().map(() => [0, 1, 2]),
    );
    const plain = join(base, 'plain.safetensors');
    const state = [...(await readState(cut))].map(([name, t]): [string, StoredTensor] => [name, { dtype: 'F32', ...t }]);
    writeFileSync(plain, encodeSafetensors(new Map(state)));
    cut.dispose();
    for (const stage1Pretrained of [second.file('checkpoint.safetensors'), plain])
      await expect(run({ stage1: undefined, stage1Pretrained, saveDir: newFolder() })).rejects.toThrow(
        `${stage1Pretrained}: is pruned already; Robust Bird prunes a dense checkpoint`,
      );
  });
});
