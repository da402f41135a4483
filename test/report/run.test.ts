import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeSafetensors } from '../../src/data/files.ts';
import type { StoredTensor } from '../../src/data/safetensors.ts';
import { FileError, UsageError } from '../../src/errors.ts';
import { loadRun, loadRuns, resultTable, writeReport } from '../../src/report/index.ts';
import { encodeConfig } from '../../src/train/config.ts';
import {
  type RobustBirdSettings,
  resolveRobustBird,
  settingsFile,
  stageConfig,
  stageFolder,
} from '../../src/train/robust-bird/settings.ts';
import { madeRun, writeRun } from './runs.ts';

const made = madeRun({ label: 'Flying Bird', seed: 3, epochs: 4, sa: 0.85, ra: 0.6, density: 0.2 });
let root: string;
let folder: string;
const file = (name: string): string => join(folder, name);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sparrow-report-'));
  folder = join(root, 'flying-bird');
  writeRun(folder, made);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const distances = {
  epochs: [0, 1],
  matrix: [
    [0, 0.2],
    [0.2, 0],
  ],
  threshold: 0.08,
};

/** Writes both stages as `sparrow robust-bird` leaves them, stage 1 with distances; the path of stage 2. */
function writeRobustBird(name: string, given: Partial<RobustBirdSettings> = {}): string {
  const shared = { dataset: 'shapes', arch: 'resnet8', stage2: 'pgd', epochs2: 2, pruning: 'channel', density: 0.3 } as const;
  const stage1 = given.stage1Pretrained === undefined ? 'sgd' : undefined;
  const settings = resolveRobustBird({ ...shared, stage1, ...given, saveDir: join(root, name) });
  const { seed = 1, pruning } = settings;
  for (const stage of [1, 2] as const) {
    const run = madeRun({ label: 'Robust Bird', seed, epochs: 2, sa: 0.8, ra: 0.5, density: 1 });
    const path = stageFolder(settings, stage);
    writeRun(path, { ...run, weights: [], samples: undefined, ...(stage === 1 && { distances }) });
    writeFileSync(join(path, 'config.json'), encodeConfig(stageConfig(settings, stage)));
    if (stage === 1) continue;
    writeFileSync(join(path, settingsFile), JSON.stringify(settings));
    writeFileSync(
      join(path, 'result.json'),
      JSON.stringify({
        ...{ label: run.label, ...run.result, pruning, stage1: settings.stage1 ?? null },
        ticket: { emerged: false, epoch: settings.stage1 === undefined ? null : 6 },
      }),
    );
  }
  return stageFolder(settings, 2);
}

describe('loadRun', () => {
  it('reads back what a run wrote', () => {
    const run = loadRun(folder);
    expect(run.label).toBe('Flying Bird');
    expect(run.folder).toBe('flying-bird');
    expect(run.config).toEqual(made.config);
    expect(run.metrics).toEqual(made.metrics);
    expect(run.result).toEqual(made.result);
    expect(run.masks.map(({ name, shape, keep }) => ({ name, shape, keep: [...Array.from(keep)] }))).toEqual(
      made.masks.map(({ name, shape, keep }) => ({ name, shape, keep: [...Array.from(keep)] })),
    );
    expect(run.samples).toMatchObject({ shape: [12, 3, 32, 32], labels: made.samples.labels, classes: made.samples.classes });
    expect([run.samples?.predClean, run.samples?.predAdv]).toEqual([made.samples.predClean, made.samples.predAdv]);
  });

  it.each(['config.json', 'result.json', 'checkpoint.safetensors', 'samples.safetensors', 'metrics.jsonl'])(
    'does without %s',
    name => {
      rmSync(file(name));
      const run = loadRun(folder);
      expect(run.label).toBe(name === 'result.json' ? 'flying-bird' : 'Flying Bird');
      expect(run.config).toEqual(name === 'config.json' ? {} : made.config);
      expect(run.metrics).toHaveLength(name === 'metrics.jsonl' ? 0 : 4);
      expect(run.masks).toHaveLength(name === 'checkpoint.safetensors' ? 0 : made.masks.length);
      expect(run.samples === undefined).toBe(name === 'samples.safetensors');
    },
  );

  it('ignores a line of metrics that is still being written, and takes null for not measured', () => {
    appendFileSync(file('metrics.jsonl'), '{"epoch":5,"testRa":null}\n{"epoch":6,"tes');
    const { metrics } = loadRun(folder);
    expect(metrics).toHaveLength(5);
    expect([metrics[4].epoch, metrics[4].testRa, metrics[4].valRa]).toEqual([5, Number.NaN, Number.NaN]);
  });

  it('orders masks as the metrics list the layers', () => {
    const layers = made.masks.map(({ name }) => ({ name, nnz: 1, size: 2 })).toReversed();
    appendFileSync(file('metrics.jsonl'), `${JSON.stringify({ epoch: 5, layers })}\n`);
    expect(loadRun(folder).masks.map(mask => mask.name)).toEqual(layers.map(layer => layer.name));
  });

  it('without such a list orders masks by the numbers in their names', () => {
    const names = ['classifier', 'features.3', 'features.10', 'features.20'];
    const mask: StoredTensor = { dtype: 'U8', shape: [1, 2], data: Uint8Array.of(0, 1) };
    writeSafetensors(file('checkpoint.safetensors'), new Map(names.map(name => [`mask.${name}.weight`, mask])));
    expect(loadRun(folder).masks.map(({ name }) => name)).toEqual(names.map(name => `${name}.weight`));
  });

  it('names the damaged file', () => {
    const broken = (name: string, content: string): (() => unknown) => {
      writeFileSync(file(name), content);
      return () => loadRun(folder);
    };
    expect(broken('metrics.jsonl', '{"epoch":1}\n{"epo\n{"epoch":3}\n')).toThrow(/metrics\.jsonl, line 2: not JSON/);
    expect(broken('metrics.jsonl', '')).not.toThrow();
    expect(broken('config.json', '[1]')).toThrow(/config\.json: holds no JSON object/);
    rmSync(file('config.json'));
    expect(broken('result.json', '{')).toThrow(FileError);
  });

  it('refuses a checkpoint that is cut off', () => {
    truncateSync(file('checkpoint.safetensors'), 1000);
    expect(() => loadRun(folder)).toThrow(/checkpoint\.safetensors/);
  });

  it('refuses samples that do not belong together', () => {
    const images = (...shape: number[]): StoredTensor => ({ dtype: 'F32', shape, data: new Float32Array(6) });
    const write = (tensors: Record<string, StoredTensor>): void =>
      writeSafetensors(file('samples.safetensors'), new Map(Object.entries({ clean: images(2, 3, 1, 1), ...tensors })));
    write({});
    expect(() => loadRun(folder)).toThrow(/samples\.safetensors: no tensor 'adv'/);
    write({ adv: images(1, 3, 2, 1) });
    expect(() => loadRun(folder)).toThrow(/'adv' has shape \[1,3,2,1\] but 'clean' has \[2,3,1,1\]/);
    write({ adv: images(2, 3, 1, 1), labels: { dtype: 'I64', shape: [3], data: new BigInt64Array(3) } });
    expect(() => loadRun(folder)).toThrow(/'labels' holds 3 values for 2 images/);
    write({ clean: images(6, 1), adv: images(6, 1) });
    expect(() => loadRun(folder)).toThrow(/'clean' has shape \[6,1\]/);
  });

  it('of stage 2 of Robust Bird has the distances of stage 1', () => {
    const second = writeRobustBird('rb');
    expect(loadRun(second).distances).toEqual(distances);
    expect(loadRun(`${second}/`).distances).toEqual(distances);
    expect(loadRun(folder).distances).toBeUndefined();
    expect(() => loadRun(join(root, 'rb'))).toThrow(/rb: no such folder; Robust Bird's run is in .*rb_stage2$/);
    rmSync(join(second, settingsFile));
    expect(loadRun(second).distances).toEqual(distances); // result.json says that there was a stage 1
  });

  it('of stage 2 from a pretrained checkpoint has no distances: a stage 1 beside it is another run’s', () => {
    const second = writeRobustBird('rb', { stage1Pretrained: 'dense.safetensors' });
    expect(loadRun(second).distances).toBeUndefined();
    expect(loadRun(join(root, 'rb_stage1')).config).not.toHaveProperty('pruning');
    rmSync(join(second, 'result.json'));
    expect(loadRun(second).distances).toBeUndefined();
    rmSync(join(second, settingsFile));
    expect(loadRun(second).distances).toBeUndefined();
  });

  it('of a stage of Robust Bird has the settings of both stages', () => {
    const second = writeRobustBird('rb', { epochs1: 7, init: 'dense.safetensors' });
    const both = { stage1: 'sgd', epochs1: 7, init: 'dense.safetensors', pruning: 'channel', density: 0.3 };
    expect(loadRun(second).config).toMatchObject({ ...both, mode: 'pgd', epochs: 2, saveDir: second });
    expect(loadRun(join(root, 'rb_stage1')).config).toMatchObject({ ...both, mode: 'sgd', epochs: 7 });
  });

  it('of stage 2 of Robust Bird knows the training of stage 1', () => {
    const second = writeRobustBird('rb');
    const pretrained = writeRobustBird('pretrained', { stage1Pretrained: 'dense.safetensors' });
    const all = [second, pretrained, join(root, 'rb_stage1'), folder];
    expect(all.map(path => loadRun(path).stage1)).toEqual([
      { mode: 'sgd', epochs: 7 },
      { mode: '', epochs: Number.NaN },
      undefined,
      undefined,
    ]);
    rmSync(join(second, settingsFile));
    expect(loadRun(second).stage1).toEqual({ mode: 'sgd', epochs: 7 });
    const going = writeRobustBird('going');
    rmSync(join(going, 'result.json'));
    expect(loadRun(going).stage1).toEqual({ mode: 'sgd', epochs: Number.NaN });
  });

  it('of a train that took the place of stage 2 knows nothing of Robust Bird', () => {
    const second = writeRobustBird('rb');
    const { pruning, stage1, ...result } = JSON.parse(readFileSync(join(second, 'result.json'), 'utf8'));
    expect([pruning, stage1]).toEqual(['channel', 'sgd']);
    writeFileSync(join(second, 'result.json'), JSON.stringify(result));
    const run = loadRun(second);
    expect([run.distances, run.stage1]).toEqual([undefined, undefined]);
    expect(run.config).not.toHaveProperty('pruning');
  });

  it('keeps experiments of Robust Bird apart in the table, by any setting of either stage', () => {
    const fixed = { stage1: undefined, pruning: 'unstructured' } as const;
    const experiments: Partial<RobustBirdSettings>[] = [
      {},
      { density: 0.5 },
      { pruning: 'unstructured' },
      { pruning: 'unstructured', epochs1: 9 },
      { pruning: 'unstructured', init: 'a.safetensors' },
      { ...fixed, stage1Pretrained: 'a.safetensors' },
      { ...fixed, stage1Pretrained: 'b.safetensors' },
    ];
    const folders = experiments.flatMap((given, i) =>
      (i === 1 ? [1, 2, 3] : [1, 2]).map(seed => writeRobustBird(`rb${i}-${seed}`, { ...given, seed })),
    );
    const seeds = resultTable(loadRuns(folders, { numbersOnly: true })).map(row => row.seeds);
    expect(seeds).toEqual(experiments.map((_, i) => (i === 1 ? [1, 2, 3] : [1, 2])));
    const first = folders.map(path => path.replace(/2$/, '1')).filter((_, i) => i === 0 || i === 4); // seed 1 of .3, seed 3 of .5
    expect(resultTable(loadRuns(first, { numbersOnly: true }))).toHaveLength(2);
  });

  it('names the newest round of --imp while the last one has not begun', () => {
    const imp = join(root, 'imp');
    for (let k = 0; k <= 10; k++) writeRun(join(imp, `round-${k}`), { ...made, weights: [], masks: [], samples: undefined });
    mkdirSync(join(imp, 'round-11')); // not begun yet
    const hint = /imp: the last round of --imp has not begun; give the newest, .*imp[\\/]round-10$/;
    expect(() => loadRun(imp)).toThrow(hint);
    expect(() => loadRun(imp)).toThrow(FileError);
    writeFileSync(join(imp, 'metrics.jsonl'), '{"epoch":0}\n'); // of an earlier run there
    expect(() => loadRun(imp)).toThrow(hint);
    expect(loadRun(join(imp, 'round-10')).metrics).toHaveLength(4);
    writeRun(imp, made);
    expect(loadRun(imp).label).toBe('Flying Bird');
  });

  it('names stage 1 of Robust Bird while stage 2 has not begun', () => {
    const second = writeRobustBird('rb');
    rmSync(join(second, 'config.json'));
    rmSync(join(second, 'result.json'));
    expect(() => loadRun(second)).toThrow(/rb_stage2: stage 2 of Robust Bird has not begun; stage 1 is in .*rb_stage1$/);
    rmSync(join(second, 'metrics.jsonl'));
    expect(() => loadRun(second)).toThrow(/rb_stage2: stage 2 of Robust Bird has not begun; stage 1 is in .*rb_stage1$/);
    rmSync(join(root, 'rb_stage1'), { recursive: true });
    expect(() => loadRun(second)).toThrow(/rb_stage2: stage 2 of Robust Bird has not begun$/);
  });

  it('says that a folder is missing or is no run', () => {
    expect(() => loadRun(join(root, 'nowhere'))).toThrow(/nowhere: no such folder/);
    expect(() => loadRun(root)).toThrow(/not a run/);
    expect(() => loadRun(root)).toThrow(FileError);
  });
});

describe('writeReport', () => {
  it('writes one file of all runs, the same each time', () => {
    const second = join(root, 'dense');
    writeRun(second, madeRun({ label: 'Dense', seed: 1, epochs: 3, sa: 0.8, ra: 0.5, density: 1 }));
    const out = join(root, 'report.html');
    writeReport([folder, second], out);
    const page = readFileSync(out, 'utf8');
    expect(page.startsWith('<!DOCTYPE html>')).toBe(true);
    expect(page).toContain('Flying Bird\u00A0· Dense');
    writeReport([folder, second], out);
    expect(readFileSync(out, 'utf8')).toBe(page);
    expect(readdirSync(root).sort()).toEqual(['dense', 'flying-bird', 'report.html']);
  });

  it('leaves nothing behind when it fails, and an older report alone', () => {
    const out = join(root, 'report.html');
    writeFileSync(out, 'older');
    expect(() => writeReport([folder, root], out)).toThrow(FileError);
    expect(readFileSync(out, 'utf8')).toBe('older');
    expect(() => writeReport([folder], join(root, 'missing', 'report.html'))).toThrow(
      /cannot write .*missing\/report\.html: its folder does not exist/,
    );
    expect(() => writeReport([folder], folder)).toThrow(FileError);
    expect(readdirSync(root).sort()).toEqual(['flying-bird', 'report.html']);
    expect(() => writeReport([], out)).toThrow(UsageError);
  });
});
