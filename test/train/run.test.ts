/** Whole training runs on the real device: what a run leaves behind, masks over epochs, and resuming to the same bits. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { encodePth } from '../../src/data/pth-writer.ts';
import type { StoredTensor } from '../../src/data/safetensors.ts';
import { shapes } from '../../src/data/shapes.ts';
import { type Device, openDevice } from '../../src/device/index.ts';
import { keepChannels, widthsOf } from '../../src/nn/channels.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { readState } from '../../src/nn/state.ts';
import { Masks, maskedParameters } from '../../src/sparse/masks.ts';
import { Random } from '../../src/tensor/philox.ts';
import type { ColdStart, RunHooks, TrainResult } from '../../src/train/api.ts';
import { resolveConfig, type TrainConfig } from '../../src/train/config.ts';
import { RunFolder } from '../../src/train/folder.ts';
import type { EpochMetrics } from '../../src/train/metrics.ts';
import { trainRun } from '../../src/train/run.ts';

const base = mkdtempSync(join(tmpdir(), 'sparrow-run-'));
const data = shapes({ seed: 3, train: 56, val: 16, test: 16 });
let device: Device;
let folders = 0;

beforeAll(async () => {
  device = await openDevice();
});
afterAll(() => {
  device.close();
  rmSync(base, { recursive: true, force: true });
});

const small: Partial<TrainConfig> = {
  dataset: 'shapes',
  arch: 'resnet8',
  width: 4,
  batchSize: 16,
  epochs: 2,
  lr: 0.05,
  decreasingLr: [1],
  trainStep: 2,
  testStep: 2,
  updateFrequency: 3,
};

const newFolder = () => join(base, `run${folders++}`);
const run = (settings: Partial<TrainConfig>, hooks: RunHooks = {}, of = data) =>
  trainRun(resolveConfig({ ...small, ...settings }), hooks, { device, data: of });
const sha = (folder: string) =>
  createHash('sha256')
    .update(readFileSync(join(folder, 'checkpoint.safetensors')))
    .digest('hex');
const metrics = (folder: string): EpochMetrics[] =>
  readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line));

describe('a training run', () => {
  it('leaves metrics, result and checkpoints, and conserves the active weights of every layer under Flying Bird', async () => {
    const saveDir = newFolder();
    const starts: ColdStart[] = [];
    const onFirstStep = (start: ColdStart) => void starts.push(start);
    const outcome = await run({ saveDir, fb: true, density: 0.2, growth: 'gradient' }, { onFirstStep });
    expect(outcome.interrupted).toBe(false);
    const rows = metrics(saveDir);
    expect(rows.map(r => r.epoch)).toEqual([0, 1]);
    expect(rows[1].layers).toEqual(rows[0].layers);
    const total = rows[0].layers!.reduce((n, l) => n + l.size, 0);
    expect(Math.abs(rows[0].density - 0.2) * total).toBeLessThanOrEqual(rows[0].layers!.length);
    expect(rows.flatMap(r => r.events!.map(e => e.iteration))).toEqual([3, 6]);
    expect(rows[1].fired).toBeGreaterThan(rows[1].density);
    for (const { maskDistance, density } of rows) expect([maskDistance! > 0, maskDistance! <= 2 * density]).toEqual([true, true]);
    const result = JSON.parse(readFileSync(join(saveDir, 'result.json'), 'utf8'));
    expect(result.difference.ra).toBeCloseTo(result.best.testRa - result.final.testRa, 12);
    expect(result.flops.inferenceReal).toBeLessThan(result.flops.inferenceDense);
    expect(rows.map(r => r.deathRate > 0)).toEqual([true, true]);
    const { seconds, opening, compiling } = result.firstStep;
    expect(starts).toEqual([result.firstStep]);
    expect(Math.min(opening, compiling)).toBeGreaterThan(0);
    expect(seconds).toBeGreaterThan(opening + compiling);
    expect(seconds).toBeLessThan(result.seconds + opening);
  });

  it('drops nothing beyond --update-end, and says so', async () => {
    const saveDir = newFolder();
    await run({ saveDir, fb: true, updateEnd: 0.5 });
    const rows = metrics(saveDir);
    expect(rows.map(r => r.events!.map(e => e.iteration))).toEqual([[3], []]);
    expect(rows.map(r => r.deathRate)).toEqual([expect.closeTo(0.005, 12), 0]);
  });

  it('numbers an epoch in its progress, in its line and at a resume as metrics.jsonl does, from 0', async () => {
    const saveDir = newFolder();
    const told: string[] = [];
    const say = (text: string) => void (told.at(-1) === text || told.push(text));
    const hooks: RunHooks = {
      onProgress: ({ label }) => say(label),
      onEpoch: ({ epoch }) => say(`line ${epoch}`),
      onNotice: say,
    };
    const first = await run({ saveDir, mode: 'sgd' }, { ...hooks, shouldStop: () => told.includes('line 0') });
    expect(first.interrupted).toBe(true);
    await run({ saveDir, mode: 'sgd', resume: true }, hooks);
    const epoch = (n: number) => [`epoch ${n} of 0-1`, `epoch ${n} of 0-1, val`, `epoch ${n} of 0-1, test`, `line ${n}`];
    expect(told).toEqual([...epoch(0), 'resuming at epoch 1', ...epoch(1), 'robust generalisation gap']);
  });

  it('has no images/s of an epoch whose steps were all done before it was resumed', async () => {
    const saveDir = newFolder();
    let last = '';
    const onProgress = ({ label }: { label: string }) => void (last = label);
    await run({ saveDir, mode: 'sgd' }, { onProgress, shouldStop: () => last.endsWith('test') });
    await run({ saveDir, mode: 'sgd', resume: true });
    expect(metrics(saveDir).map(({ imagesPerSecond = 'none' }) => imagesPerSecond)).toEqual(['none', expect.any(Number)]);
  });

  it('counts the time of all its processes: of whole epochs, of one that was broken off, and where nothing was left to train', async () => {
    const [saveDir, moved] = [newFolder(), newFolder()];
    const settings = { saveDir, mode: 'sgd' } as const;
    let looks = 0;
    await run(settings, { shouldStop: () => ++looks === 8 }); // in epoch 1, after the 4 iterations, val, test and the end of epoch 0
    const folder = new RunFolder(saveDir);
    const file = folder.file('metrics.jsonl');
    writeFileSync(file, readFileSync(file, 'utf8').replace(/"seconds":[\d.e-]+/, '"seconds":1000'));
    const broken = folder.loadCheckpoint()!;
    expect(broken).toMatchObject({ epoch: 1, iteration: 5 });
    const state = broken.state as { seconds: number };
    expect(state.seconds).toBeGreaterThan(0);
    folder.saveCheckpoint({ ...broken, state: { ...state, seconds: 5000 } });
    await run({ ...settings, resume: true });
    const [{ seconds: first }, { seconds: second }] = metrics(saveDir);
    expect([first, Math.floor(second / 1000)]).toEqual([1000, 5]);
    const ended = folder.loadResult()!;
    expect(ended.seconds).toBeGreaterThan(first + second);
    expect(ended.firstStep!.seconds).toBeGreaterThan(0);
    for (const again of [
      { ...settings, resume: true },
      { ...settings, saveDir: moved, resumeDir: saveDir },
    ]) {
      await run(again);
      const result = new RunFolder(again.saveDir).loadResult()!;
      expect(result.seconds).toBeGreaterThan(first + second);
      expect(result.firstStep).toEqual(ended.firstStep);
    }
    expect(metrics(moved)).toEqual(metrics(saveDir));
  });

  it.each<[string, Partial<TrainConfig>]>([
    ['Flying Bird', { fb: true, density: 0.3, growth: 'momentum' }],
    ['RigL with averaged weights, in free training', { rigl: true, density: 0.3, ema: 0.8, mode: 'free', replays: 2 }],
  ])('gives the same bits when stopped anywhere and resumed: %s', async (_, settings) => {
    const whole = newFolder();
    const augmented = { ...data, augment: { crop: 4, flip: true, rotate: 15 } };
    await run({ ...settings, saveDir: whole }, {}, augmented);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 }), async stops => {
        const saveDir = newFolder();
        for (const [i, stop] of [...stops, 1000].entries()) {
          let asked = 0;
          await run({ ...settings, saveDir, resume: i > 0 }, { shouldStop: () => ++asked >= stop }, augmented);
        }
        expect(sha(saveDir)).toBe(sha(whole));
        expect(metrics(saveDir).map(r => [r.epoch, r.trainRa, r.valRa, r.maskDistance])).toEqual(
          metrics(whole).map(r => [r.epoch, r.trainRa, r.valRa, r.maskDistance]),
        );
      }),
      { numRuns: 3, examples: [[[3]]] }, // 3: only the last batch of the epoch is left, which is smaller than the others
    );
  });

  it('averages weights within the mask only', async () => {
    const saveDir = newFolder();
    await run({ saveDir, rigl: true, density: 0.3, ema: 0.5, mode: 'sgd', updateEnd: 1 });
    const folder = new RunFolder(saveDir);
    const { model, ema, masks } = folder.loadCheckpoint()!;
    expect(folder.loadCheckpoint('best-ra')!.ema).toBeUndefined();
    for (const [name, { data: mask }] of masks) {
      const average = ema!.get(name)!.data;
      expect([name, average.filter((v, i) => mask[i] === 0 && v !== 0).length]).toEqual([name, 0]);
      expect(average.some((v, i) => v !== model.get(name)!.data[i])).toBe(true);
    }
  });

  it('prunes in rounds with rewinding: the densities asked for, weights of the rewind epoch, resumed to the same bits', async () => {
    const [whole, saveDir] = [newFolder(), newFolder()];
    const settings = { imp: true, density: 0.5, impRate: 0.3, rewindEpoch: 1, mode: 'sgd' } as const;
    await run({ ...settings, saveDir: whole });
    const kept = (folder: string) => {
      const { masks } = new RunFolder(folder).loadCheckpoint()!;
      const all = [...masks.values()].flatMap(m => [...m.data]);
      return all.reduce((a, b) => a + b, 0) / all.length;
    };
    expect([join(whole, 'round-0'), join(whole, 'round-1'), whole].map(kept)).toEqual([
      1,
      expect.closeTo(0.7, 3),
      expect.closeTo(0.5, 3),
    ]);
    expect(metrics(whole).map(r => r.epoch)).toEqual([1]);
    const [before, all] = [['round-0', 'round-1'], ['']].map(names =>
      names.map(name => new RunFolder(join(whole, name)).loadResult()!.seconds).reduce((a, b) => a + b),
    );
    const last = metrics(whole).reduce((n, { seconds }) => n + seconds, 0);
    expect(all).toBeGreaterThan(before + last);
    for (const name of ['round-0', 'round-1', '']) expect(metrics(join(whole, name)).every(r => r.deathRate === 0)).toBe(true);
    for (const stop of [3, 12, 1000]) {
      let asked = 0;
      await run({ ...settings, saveDir, resume: stop > 3 }, { shouldStop: () => ++asked >= stop });
    }
    expect(sha(saveDir)).toBe(sha(whole));
    // asked for what cannot be: the run that is there stays
    await expect(run({ ...settings, saveDir, density: 0.0001 })).rejects.toThrow('the nearest that this initial mask reaches is');
    expect(sha(saveDir)).toBe(sha(whole));
    // begun anew in the same folder, and interrupted: what is left of the earlier run does not count as done
    let asked = 0;
    await run({ ...settings, saveDir }, { shouldStop: () => ++asked >= 3 });
    expect(new RunFolder(join(saveDir, 'round-1')).loadResult()).toBeUndefined();
    expect(new RunFolder(saveDir).loadCheckpoint()).toBeUndefined();
  });

  it('counts removed channels in the density of a masked network, and says that a file’s masks are left out', async () => {
    const whole = createModel(
      'resnet8',
      { device, random: new Random(5) },
      { width: 4, classes: 10, mean: [0, 0, 0], std: [1, 1, 1] },
    );
    const all = [...maskedParameters(whole).values()].reduce((n, p) => n + p.size, 0);
    keepChannels(
      whole,
      whole.channelGroups().map(() => [0, 1]),
    );
    const left = [...maskedParameters(whole).values()].reduce((n, p) => n + p.size, 0);
    const init = join(base, 'narrow.pth');
    const tensors = [...(await readState(whole))].map(([name, t]): [string, StoredTensor] => [name, { dtype: 'F32', ...t }]);
    writeFileSync(init, encodePth(new Map(tensors)));
    whole.dispose();
    const saveDir = newFolder();
    await run({ saveDir, init, fb: true, density: 0.5, mode: 'sgd', epochs: 1 });
    const [row] = metrics(saveDir);
    const active = row.layers!.reduce((n, l) => n + l.nnz, 0);
    expect([row.density, new RunFolder(saveDir).loadResult()!.density]).toEqual(Array(2).fill(expect.closeTo(active / all, 9)));
    expect(active / left).toBeCloseTo(0.5, 1);
    expect(row.events!.at(-1)!.density).toBeCloseTo(active / all, 9);
    const masked = join(saveDir, 'checkpoint.safetensors');
    const told = async (given: Partial<TrainConfig>) => {
      const lines: string[] = [];
      const onNotice = (line: string) => void (line.includes('masks are left out') && lines.push(line.replace(masked, 'FILE')));
      await run({ saveDir: newFolder(), init: masked, mode: 'sgd', epochs: 1, ...given }, { onNotice, shouldStop: () => true });
      return lines;
    };
    for (const given of [{}, { imp: true }])
      expect(await told(given)).toEqual(['FILE: its masks are left out: all weights are trained, those that it has at 0 too']);
    expect(await told({ fb: true })).toEqual([
      'FILE: its masks are left out: --sparse-init igq makes another; --sparse-init magnitude keeps its weights first',
    ]);
    expect(await told({ fix: true, sparseInit: 'magnitude' })).toEqual([]);
  });

  it('prunes the dense round of an earlier pruning by magnitude, as nothing of it is masked', async () => {
    const rounds = newFolder();
    await run({ saveDir: rounds, imp: true, density: 0.7, impRate: 0.3, mode: 'sgd', epochs: 1 });
    const saveDir = newFolder();
    const omp = { saveDir, fix: true, sparseInit: 'omp', density: 0.5, mode: 'sgd', epochs: 1 } as const;
    await run({ ...omp, init: join(rounds, 'round-0', 'checkpoint.safetensors') });
    expect(metrics(saveDir)[0].density).toBeCloseTo(0.5, 3);
    await expect(run({ ...omp, init: join(rounds, 'checkpoint.safetensors') })).rejects.toThrow(': has masks; --sparse-init omp');
  });

  it('prunes in rounds of which the first alone reads --init', async () => {
    const given = new RunFolder(newFolder());
    await run({ saveDir: given.path, mode: 'sgd', epochs: 1 });
    const onNotice = (line: string) => void (line.startsWith('imp: round 2') && given.remove('checkpoint.safetensors'));
    const settings = { imp: true, density: 0.5, impRate: 0.3, mode: 'sgd', epochs: 1, saveDir: newFolder() } as const;
    const { interrupted } = await run({ ...settings, init: given.file('checkpoint.safetensors') }, { onNotice });
    expect([interrupted, given.has('checkpoint.safetensors')]).toEqual([false, false]);
  });

  describe('in rounds', () => {
    const rounds = { imp: true, density: 0.5, impRate: 0.5, mode: 'sgd', epochs: 1 } as const;

    it('that is begun anew with other settings in its folder is resumed with those', async () => {
      const [fresh, saveDir] = [newFolder(), newFolder()];
      const other = { ...rounds, lr: 0.02 };
      await run({ ...other, saveDir: fresh });
      await run({ ...rounds, saveDir });
      let asked = 0;
      await run({ ...other, saveDir }, { shouldStop: () => ++asked >= 2 });
      await run({ ...other, saveDir, resume: true });
      expect(sha(saveDir)).toBe(sha(fresh));
    });

    it('takes no round as done that had other settings', async () => {
      const saveDir = newFolder();
      const onNotice = (line: string) => {
        if (line.startsWith('imp: round 2')) throw new Error('killed');
      };
      await expect(run({ ...rounds, saveDir }, { onNotice })).rejects.toThrow('killed');
      await expect(run({ ...rounds, lr: 0.02, saveDir, resume: true })).rejects.toThrow(
        `cannot resume ${join(saveDir, 'round-0')} with other settings: --lr was 0.05, now 0.02`,
      );
    });
  });

  it('has its result on the disk whole or not at all: one that cannot be completed is not there, and --resume completes it', async () => {
    const saveDir = newFolder();
    const config = resolveConfig({ ...small, saveDir, mode: 'sgd', epochs: 1 });
    const folder = new RunFolder(saveDir);
    const killed = () => {
      throw new Error('killed');
    };
    await expect(trainRun(config, {}, { device, data, complete: killed })).rejects.toThrow('killed');
    expect([folder.loadResult(), folder.loadCheckpoint()!.epoch]).toEqual([undefined, 1]);
    const complete = (result: TrainResult) => ({ ...result, label: 'completed' });
    const outcome = await trainRun({ ...config, resume: true }, {}, { device, data, complete });
    expect(outcome).toMatchObject({ interrupted: false, result: { label: 'completed' } });
    expect(outcome).toEqual({ interrupted: false, result: folder.loadResult() });
  });

  it('writes the result of its rounds once, with the sums', async () => {
    const [saveDir, saves] = [newFolder(), vi.spyOn(RunFolder.prototype, 'saveResult')];
    const rounds = { imp: true, density: 0.5, impRate: 0.5, mode: 'sgd', epochs: 1 } as const;
    const outcome = await run({ ...rounds, saveDir });
    const written = saves.mock.calls.map(([result]) => result);
    saves.mockRestore();
    const [first, last] = ['round-0', ''].map(name => new RunFolder(join(saveDir, name)).loadResult()!);
    expect(written).toEqual([first, last]);
    expect(outcome).toEqual({ interrupted: false, result: last });
    const passes = 3 * 56; // of sgd, over all images
    expect(last.flops.trainingDense).toBe(first.flops.trainingDense); // that of the dense network
    expect(last.flops.trainingReal).toBe(first.flops.trainingReal + passes * last.flops.inferenceReal);
    expect(last.seconds).toBeGreaterThan(first.seconds);
  });

  it('prunes in rounds where another run has been: refused with --resume, begun anew without, which then goes on to its end', async () => {
    const saveDir = newFolder();
    const before = { saveDir, mode: 'sgd', epochs: 1 } as const;
    const rounds = { ...before, imp: true, density: 0.5, impRate: 0.5 } as const;
    await run(before);
    const kept = sha(saveDir);
    await expect(run({ ...rounds, resume: true })).rejects.toThrow(
      `cannot resume ${saveDir} with other settings: --imp was not given`,
    );
    expect([sha(saveDir), new RunFolder(join(saveDir, 'round-0')).has('config.json')]).toEqual([kept, false]);
    let looks = 0;
    await run(rounds, { shouldStop: () => ++looks >= 2 });
    const outcome = await run({ ...rounds, resume: true });
    expect(outcome).toMatchObject({ interrupted: false, result: { density: expect.closeTo(0.5, 3) } });
  });

  it.each<[Partial<TrainConfig>, string]>([
    [{ fix: true, density: 0.0001 }, '--density 0.0001 would keep'],
    [{ fix: true, density: 0.0001, sparseInit: 'snip' }, 'the nearest that this initial mask reaches is'],
    [{ scale: 0.01, width: 2 }, '--scale 0.01: no width has as many weights; the nearest is'],
  ])('says the nearest density where one cannot be reached: %j', async (given, message) => {
    await expect(run({ saveDir: newFolder(), mode: 'sgd', epochs: 1, ...given })).rejects.toThrow(message);
  });

  it('goes on with the channels that a plain state_dict has left, and says so', async () => {
    const [mean, std] = [data.mean, data.std];
    const network = createModel('resnet8', { device, random: new Random(2) }, { width: 4, classes: 10, mean, std });
    keepChannels(
      network,
      network.channelGroups().map((_, i) => (i % 2 ? [0, 2] : [1, 2, 3])),
    );
    const state = [...(await readState(network))].map(([name, t]): [string, StoredTensor] => [name, { dtype: 'F32', ...t }]);
    const [saveDir, init] = [newFolder(), join(base, 'pruned.pth')];
    writeFileSync(init, encodePth(new Map(state)));
    const notices: string[] = [];
    await run({ saveDir, init, mode: 'sgd', epochs: 1 }, { onNotice: line => notices.push(line) });
    expect(notices).toEqual([`${init}: has fewer channels than --width 4 gives; the network has its channels`]);
    expect(new RunFolder(saveDir).loadCheckpoint()!.widths).toEqual(widthsOf(network));
    expect(metrics(saveDir)[0].density).toBeLessThan(0.5);
    network.dispose();
  });

  it('says which layers a network-wide mask leaves without weights', async () => {
    const notices: string[] = [];
    const hooks = { onNotice: (line: string) => void notices.push(line) };
    await run({ saveDir: newFolder(), mode: 'sgd', epochs: 1, fix: true, sparseInit: 'magnitude', density: 0.003 }, hooks);
    const line =
      /^the initial mask leaves no weight of .*\bblocks\.2\.conv2\.weight\b.*: nothing passes there; --density is too low for it$/;
    expect(notices).toEqual([expect.stringMatching(line)]);
  });

  it('says before it trains that its mask never moves', async () => {
    const notices: string[] = [];
    const hooks = { onNotice: (line: string) => void notices.push(line), shouldStop: () => true };
    await run({ saveDir: newFolder(), mode: 'sgd', fb: true, density: 0.3, updateFrequency: 9 }, hooks);
    const line =
      "--fb: the mask never moves: no update is due in the run's 8 optimiser steps with --update-frequency 9; lower it";
    expect(notices).toEqual([line]);
  });

  it('trains a thin dense network of the asked weight count', async () => {
    const saveDir = newFolder();
    await run({ saveDir, mode: 'sgd', epochs: 1, width: 16, scale: 0.25 });
    const { width } = new RunFolder(saveDir).loadCheckpoint()!;
    expect(width).toBe(8);
  });

  it('trains a thin wideresnet, whose widths are multiples of 4', async () => {
    const saveDir = newFolder();
    const wide = { arch: 'wideresnet', depthFactor: 10, widthFactor: 1, width: 16, scale: 0.25 } as const;
    await run({ saveDir, mode: 'sgd', epochs: 1, ...wide });
    expect(new RunFolder(saveDir).loadCheckpoint()!.width).toBe(8);
  });

  it('says so and begins anew where there is nothing to resume', async () => {
    const notices: string[] = [];
    await run({ saveDir: newFolder(), epochs: 1, mode: 'sgd', resume: true }, { onNotice: line => void notices.push(line) });
    expect(notices.join()).toMatch(/nothing to resume .* starting from the beginning/);
  });

  it('shows nothing of the run that it takes the place of: neither its images, nor its page, nor its best checkpoints', async () => {
    const saveDir = newFolder();
    await run({ saveDir, mode: 'sgd', epochs: 1 });
    writeFileSync(join(saveDir, 'report.html'), 'its page');
    const begun: string[][] = [];
    const shouldStop = () => begun.push(readdirSync(saveDir).sort()) > 0;
    await run({ saveDir, mode: 'sgd', epochs: 1, lr: 0.02 }, { shouldStop });
    expect(begun[0]).toEqual(['config.json', 'kernels.json', 'metrics.jsonl', 'run.lock']); // the lock is this run's own
  });

  it('starts from its folder’s own best checkpoint, also where it goes on before its first save', async () => {
    const saveDir = newFolder();
    const settings = { saveDir, mode: 'sgd', epochs: 1 } as const;
    await run(settings);
    const again = { ...settings, init: join(saveDir, 'best-ra.safetensors'), lr: 0.02 };
    const killed = () => {
      throw new Error('killed');
    };
    await expect(run(again, { onProgress: killed })).rejects.toThrow('killed');
    expect((await run({ ...again, resume: true })).interrupted).toBe(false);
  });

  it.each<[string, Partial<TrainConfig>]>([
    ['', {}],
    ['in rounds', { imp: true }],
  ])('refuses to start from the checkpoint that it would replace, and keeps it %s', async (_, settings) => {
    const saveDir = newFolder();
    await run({ saveDir, mode: 'sgd', epochs: 1 });
    const before = sha(saveDir);
    const init = join(saveDir, 'checkpoint.safetensors');
    await expect(run({ saveDir, mode: 'sgd', epochs: 1, init, ...settings })).rejects.toThrow(/^.*: the run would start from/);
    expect(sha(saveDir)).toBe(before);
  });

  it.each<[string, boolean]>([
    ['a run that was begun anew in its folder', false],
    ['a run that came from another folder', true],
  ])('does not go on from what an older run left: %s, killed before it saved', async (_, moved) => {
    const [fresh, saveDir, elsewhere] = [newFolder(), newFolder(), newFolder()];
    const killed: RunHooks = {
      onProgress: () => {
        throw new Error('killed');
      },
    };
    const settings = { mode: 'sgd', epochs: 1, seed: 7 } as const;
    await run({ ...settings, saveDir: fresh });
    await run({ mode: 'sgd', epochs: 2, seed: 5, saveDir });
    let asked = 0;
    if (moved) await run({ ...settings, saveDir: elsewhere }, { shouldStop: () => ++asked >= 2 });
    await expect(run({ ...settings, saveDir, ...(moved ? { resumeDir: elsewhere } : {}) }, killed)).rejects.toThrow('killed');
    await run({ ...settings, saveDir, resume: true });
    expect(sha(saveDir)).toBe(sha(fresh));
  });

  it('refuses to resume with another setting, naming it', async () => {
    const saveDir = newFolder();
    await run({ saveDir, epochs: 1, mode: 'sgd' });
    await expect(run({ saveDir, epochs: 1, mode: 'sgd', lr: 0.01, resume: true })).rejects.toThrow(/--lr/);
  });

  it('stops at a loss that is no number, saying the iteration', async () => {
    await expect(run({ saveDir: newFolder(), mode: 'sgd', lr: 1e30, printFreq: 1 })).rejects.toThrow(/NaN at iteration \d+/);
  });

  it('decides once per update under Flying Bird+', async () => {
    const saveDir = newFolder();
    const notices: string[] = [];
    await run({ saveDir, fbp: true, density: 0.2, dynamicEpoch: 1 }, { onNotice: line => void notices.push(line) });
    const updates = metrics(saveDir).flatMap(r => r.events!.filter(e => e.iteration > 4));
    expect(notices.filter(line => line.startsWith('mask update')).length).toBe(updates.length);
  });
});

describe('masks', () => {
  it('in a checkpoint that is saved right after an update: masked weights and their momentum are exactly 0', async () => {
    const saveDir = newFolder();
    await run({ saveDir, mode: 'sgd', epochs: 1, fb: true, density: 0.3, updateFrequency: 4 });
    const { model, masks, momentum, iteration } = new RunFolder(saveDir).loadCheckpoint()!;
    expect(iteration).toBe(4);
    for (const [name, { data: mask }] of masks) {
      const off = (values: Float32Array) => values.filter((v, i) => mask[i] === 0 && v !== 0).length;
      expect([name, off(model.get(name)!.data), off(momentum.get(name)!.data)]).toEqual([name, 0, 0]);
    }
  });

  it('keep exactly the counts of their initialiser, and zero everything else', async () => {
    const model = createModel(
      'resnet8',
      { device, random: new Random(1) },
      { width: 4, classes: 10, mean: [0, 0, 0], std: [1, 1, 1] },
    );
    const masks = new Masks(model, 5);
    masks.initialise(0.25, 'erk');
    for (const { name } of masks.layers) {
      const mask = await masks.masks.get(name)!.floats();
      const weights = await model.parameters().get(name)!.floats();
      expect(mask.reduce((a, b) => a + b, 0)).toBe(masks.nnz(name));
      expect(weights.every((w, i) => mask[i] === 1 || w === 0)).toBe(true);
    }
    masks.dispose();
    model.dispose();
  });
});
