/**
 * Robust Bird with every training mode in each stage (pgd, fast and sgd in every combination) and both kinds of pruning, a line a cell; and what
 * half of the channels are worth: the time of a PGD-10 step.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { DeviceSplit } from '../../src/data/device-split.ts';
import { shapes } from '../../src/data/shapes.ts';
import { keepChannels } from '../../src/nn/channels.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { Sgd } from '../../src/nn/optim.ts';
import { channelScores, chooseChannels } from '../../src/sparse/channels.ts';
import { prunings } from '../../src/sparse/early-bird.ts';
import { Random } from '../../src/tensor/philox.ts';
import { RunFolder } from '../../src/train/folder.ts';
import { trainRobustBird } from '../../src/train/robust-bird/run.ts';
import { resolveRobustBird } from '../../src/train/robust-bird/settings.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { random, testDevice } from '../engine.ts';

const device = await testDevice();
const base = mkdtempSync(join(tmpdir(), 'sparrow-robust-bird-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const modes = ['pgd', 'fast', 'sgd'] as const;
const others = ['trades', 'mart', 'awp', 'free'] as const;
const cells = prunings.flatMap(pruning => [
  ...modes.flatMap(stage1 => modes.map(stage2 => ({ pruning, stage1, stage2 }))),
  ...others.flatMap(mode => [
    { pruning, stage1: 'sgd' as const, stage2: mode },
    { pruning, stage1: mode, stage2: 'sgd' as const },
  ]),
]);

describe('an epoch of each stage on shapes', () => {
  const data = shapes({ seed: 3, train: 32, val: 8, test: 8 });

  it.each(cells)('$pruning, $stage1 then $stage2', async ({ pruning, stage1, stage2 }) => {
    const saveDir = join(base, [pruning, stage1, stage2].join('-'));
    const thin = {
      dataset: 'shapes',
      arch: 'resnet8',
      width: 4,
      batchSize: 16,
      trainStep: 2,
      testStep: 2,
      density: 0.4,
      replays: 2,
    } as const;
    const settings = resolveRobustBird({ ...thin, pruning, stage1, epochs1: 1, stage2, epochs2: 1, saveDir });
    const outcome = await trainRobustBird(settings, {}, { device, data });
    if (outcome.interrupted) throw new Error('nobody interrupted it');
    const { result } = outcome;
    const { model, masks, momentum, widths } = new RunFolder(`${saveDir}_stage2`).loadCheckpoint()!;
    const channels = Object.values(widths ?? {}).reduce((a, b) => a + b, 0);
    expect([masks.size > 0, channels > 0]).toEqual(pruning === 'channel' ? [false, true] : [true, false]);
    if (pruning === 'channel') expect(result.ticket.channels).toEqual({ kept: channels, of: 56 });
    const active = [...masks.values()].flatMap(m => [...m.data]);
    if (pruning === 'unstructured') expect(active.filter(Boolean).length).toBe(active.length - Math.trunc(0.6 * active.length));
    for (const [name, { data: mask }] of masks)
      for (const values of [model.get(name)!.data, momentum.get(name)!.data])
        expect([name, values.some((v, i) => mask[i] === 0 && v !== 0)]).toEqual([name, false]);
    expect([result.mode, result.stage1, result.density < 0.5]).toEqual([stage2, stage1, true]);
    const kept =
      pruning === 'channel' ? `${channels} of 56 channels` : `${active.filter(Boolean).length} of ${active.length} weights`;
    process.stdout.write(
      `${pruning.padEnd(12)} ${stage1.padEnd(6)} ${stage2.padEnd(6)} ${kept}, density ${result.density.toFixed(4)}\n`,
    );
  });
});

describe('half of the channels of PreActResNet-18', () => {
  const [width, batch] = [32, 8];

  /** The time of a step in seconds, the least of four. @param prune whether half of the channels go */
  async function timeOfStep(prune: boolean): Promise<number> {
    const options = { width, classes: 10, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
    const model = createModel('resnet18', { device, random: new Random(1) }, options);
    if (prune) {
      const groups = model.channelGroups();
      for (const [i, bn] of groups.flatMap(g => g.norms).entries()) bn.weight.write(random(bn.weight.shape, i, 0, 1).data);
      keepChannels(model, chooseChannels(await channelScores(groups), 0.5).kept);
    }
    const data = shapes({ train: batch, val: 1, test: 1 });
    const split = new DeviceSplit(device, data.train, data.shape, 1);
    const optimiser = new Sgd(model.parameters(), { lr: 0.01, momentum: 0.9 });
    const attack = { norm: 'linf', eps: 8 / 255, stepSize: 2 / 255, steps: 10, randomInit: true } as const;
    const trainer = new Trainer(device, model, optimiser, split, {
      mode: 'pgd',
      attack,
      augment: data.augment,
      seed: 1,
      keepGradients: [],
    });
    const seconds: number[] = [];
    for (let i = 0; i < 6; i++) {
      const begun = performance.now();
      await trainer.step(0, batch, i);
      await device.sync();
      seconds.push((performance.now() - begun) / 1000);
    }
    for (const part of [trainer, optimiser, split, model]) part.dispose();
    return Math.min(...seconds.slice(2));
  }

  // SwiftShader compiles for minutes what it computes in seconds
  it.skipIf(device.adapter.kind === 'swiftshader')('a PGD-10 step takes at most .45 of the time', async () => {
    const [dense, pruned] = [await timeOfStep(false), await timeOfStep(true)];
    process.stdout.write(
      `PGD-10 step: ${dense.toFixed(3)} s dense, ${pruned.toFixed(3)} s with half of the channels: ${(pruned / dense).toFixed(3)}\n`,
    );
    expect(pruned).toBeLessThanOrEqual(0.45 * dense);
  });
});
