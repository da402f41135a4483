/** `sparrow sweep`: the plan as a function of its words, and whole sweeps of tiny runs as their users start them. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, inject, it, vi } from 'vitest';
import { run as runProgram } from '../../src/cli/program.ts';
import { combinations, parseAxis, shellCommand } from '../../src/cli/sweep/plan.ts';
import { isRunning } from '../../src/data/files.ts';
import { UsageError } from '../../src/errors.ts';
import { decodeCheckpoint } from '../../src/train/checkpoint.ts';
import { resolveConfig, type TrainConfig } from '../../src/train/config.ts';
import { trainRobustBird } from '../../src/train/robust-bird/run.ts';
import { resolveRobustBird } from '../../src/train/robust-bird/settings.ts';
import { trainRun } from '../../src/train/run.ts';
import { testDevice } from '../engine.ts';
import { inProcess, inProcessJson, linesOf } from './in-process.ts';

const device = await testDevice();
const bin = inject('command');
const folder = mkdtempSync(join(tmpdir(), 'sparrow-sweep-'));
afterAll(() => rmSync(folder, { recursive: true }));

const kind = (flag: string) =>
  ['--density', '--seed', '--batch-size'].includes(flag) ? 'value' : flag === '--fb' ? 'switch' : undefined;
const argvs = (grid: string[], ...command: string[]) =>
  combinations(grid.map(parseAxis), command, kind).map(run => run.argv.join(' '));

describe('the plan', () => {
  it('has every combination, the last axis fastest, with flags added and names filled in', () => {
    expect(argvs(['density=0.1,0.2', 'seed=1,2'], 'train', '--save-dir', 'runs/{density}-{seed}')).toEqual([
      'train --save-dir runs/0.1-1 --density 0.1 --seed 1',
      'train --save-dir runs/0.1-2 --density 0.1 --seed 2',
      'train --save-dir runs/0.2-1 --density 0.2 --seed 1',
      'train --save-dir runs/0.2-2 --density 0.2 --seed 2',
    ]);
    expect(argvs(['batch_size=8'], 'train', '--save-dir', 'r')).toEqual(['train --save-dir r --batch-size 8']);
    expect(argvs(['seed=3,4'], 'train', '--seed={seed}', '--save_dir', '{seed}')).toEqual([
      'train --seed=3 --save_dir 3',
      'train --seed=4 --save_dir 4',
    ]);
    expect(argvs(['mask=,--fb', 'method=fb'], 'train', '{mask}', '--{method}', 'runs/a{mask}')).toEqual([
      'train --fb runs/a',
      'train --fb --fb runs/a--fb',
    ]);
  });

  it.each<[string, string[], string[], string]>([
    ['no list', ['density'], ['train'], "--grid must be KEY=VALUE,VALUE,..., got 'density'"],
    ['no value', ['density='], ['train'], "--grid must be KEY=VALUE,VALUE,..., got 'density='"],
    ['a value twice', ['seed=1,2,1'], ['train'], '--grid seed: a value is there twice'],
    ['a key twice', ['seed=1', 'seed=2'], ['train'], '--grid seed is there twice: separate its values by commas'],
    ['a name of no key', ['seed=1'], ['train', '{sed}'], '{sed} in the command: there is no --grid sed=...'],
    ['a key of nothing', ['sed=1'], ['train'], '--grid sed: the command has no flag --sed, and {sed} is not in it'],
    ['a switch', ['fb=1'], ['train'], '--grid fb: --fb takes no value; put {name} where runs differ'],
    [
      'a flag that is given',
      ['seed=1,2'],
      ['train', '--seed', '1'],
      '--grid seed: the command gives --seed itself; leave it out there',
    ],
  ])('is refused for %s', (_, grid, command, message) => {
    expect(() => argvs(grid, ...command)).toThrow(UsageError);
    expect(() => argvs(grid, ...command)).toThrow(message);
  });

  it('is printed as a shell reads it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.string().filter(word => !word.includes('\0')),
          { minLength: 1, maxLength: 4 },
        ),
        async words => {
          const { stdout } = await run('sh', ['-c', `for word in ${shellCommand(words)}; do printf '%s\\0' "$word"; done`]);
          expect(stdout.split('\0').slice(0, -1)).toEqual(words);
        },
      ),
      { numRuns: 20 },
    );
  });
});

interface Outcome {
  code: number | null;
  stdout: string;
  /** Lines on stderr but those of progress and of Dawn. */
  lines: string[];
}

/** @param onLine told of every line on stderr */
function run(
  command: string,
  args: string[],
  onLine: (line: string, kill: (signal: NodeJS.Signals) => void) => void = () => {},
): Promise<Outcome> {
  const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const out = { stdout: '', stderr: '' };
  let seen = 0;
  child.stdout.setEncoding('utf8').on('data', text => {
    out.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', text => {
    out.stderr += text;
    const whole = out.stderr.split('\n').slice(0, -1);
    for (const line of whole.slice(seen)) onLine(line, signal => child.kill(signal));
    seen = whole.length;
  });
  return new Promise(resolve => {
    child.on('close', code => {
      const lines = out.stderr
        .split('\n')
        .filter(line => line && !/^(epoch |robust generalisation gap|Warning: maxDynamic)/.test(line));
      resolve({ code, stdout: out.stdout, lines });
    });
  });
}
const sparrow = (...args: string[]) => run(process.execPath, [bin, ...args]);

const network = [
  '--dataset',
  'shapes',
  '--arch',
  'resnet8',
  '--width',
  '2',
  '--test-step',
  '1',
  '--batch-size',
  '8',
  '--eval-limit',
  '4',
];
const tiny = [...network, '--mode', 'sgd'];
const quick = ['train', ...tiny, '--limit', '16', '--epochs', '1'];
/** The same in this process, which is quicker. */
const small: Partial<TrainConfig> = {
  ...{ dataset: 'shapes', arch: 'resnet8', width: 2, testStep: 1, batchSize: 8, evalLimit: 4 },
  ...{ mode: 'sgd', limit: 16, epochs: 1 },
};
async function train(seed: number, name: string): Promise<void> {
  await trainRun(resolveConfig({ ...small, fb: true, density: 0.2, seed, saveDir: at(name) }), {}, { device });
}
const at = (name: string) => join(folder, name);
const result = (name: string) => JSON.parse(readFileSync(join(at(name), 'result.json'), 'utf8'));

describe('a sweep', () => {
  const grid = ['--grid', 'density=0.2,0.5', '--grid', 'seed=1,2'];
  const words = [...quick, '--fb', '--save_dir', 'fb/{density}-{seed}'];

  it('prints its commands with --dry-run, and runs nothing', async () => {
    const { code, stdout, lines } = await sparrow('sweep', ...grid, '--dry-run', '--', ...words);
    const command = (density: string, seed: string) =>
      `sparrow ${quick.join(' ')} --fb --save_dir fb/${density}-${seed} --density ${density} --seed ${seed}`;
    const expected = [command('0.2', '1'), command('0.2', '2'), command('0.5', '1'), command('0.5', '2')];
    expect({ code, lines, stdout: stdout.trim().split('\n') }).toEqual({ code: 0, lines: [], stdout: expected });
    expect(existsSync(at('fb'))).toBe(false);
  });

  it('skips what is finished, goes on with what was broken off, goes on after a failure and says so', async () => {
    await train(1, 'fb/0.2-1');
    const finished = result('fb/0.2-1');
    await train(2, 'fb/0.2-2');
    rmSync(join(at('fb/0.2-2'), 'result.json'));
    writeFileSync(at('fb/0.5-1'), 'in the way');
    const { code, stdout, lines } = await sparrow('sweep', ...grid, '--json', '--', ...words);
    expect(code).toBe(1);
    const { runs, failed } = JSON.parse(stdout);
    const why = `cannot write to folder fb/0.5-1: a file of that name is in the way`;
    expect(failed).toBe(1);
    expect(runs.map((r: { values: object; state: string }) => [r.values, r.state])).toEqual([
      [{ density: '0.2', seed: '1' }, 'finished before'],
      [{ density: '0.2', seed: '2' }, 'done'],
      [{ density: '0.5', seed: '1' }, 'failed'],
      [{ density: '0.5', seed: '2' }, 'done'],
    ]);
    expect(runs[0].result).toEqual(finished);
    expect(runs[2].error).toBe(why);
    expect(runs[3].result).toEqual(result('fb/0.5-2'));
    expect(lines).toEqual([
      'sparrow: [1/4] fb/0.2-1: is finished already',
      'sparrow: [2/4] fb/0.2-2: goes on',
      expect.stringMatching(/^sparrow: \[2\/4\] fb\/0\.2-2: done in \d+s, final RA .* %; 2 to go, ETA \d+s$/),
      'sparrow: [3/4] fb/0.5-1: begins',
      `sparrow: ${why}`,
      expect.stringMatching(/^sparrow: \[3\/4\] fb\/0\.5-1: failed after \d+s; 1 to go, ETA \d+s$/),
      'sparrow: [4/4] fb/0.5-2: begins',
      expect.stringMatching(/^sparrow: --fb: the mask never moves: no update is due in the run's 2 optimiser steps /),
      expect.stringMatching(/^first step done after /),
      expect.stringMatching(/^sparrow: \[4\/4\] fb\/0\.5-2: done in \d+s, final RA .* %$/),
      `sparrow: 1 of 4 runs failed (fb/0.5-1: ${why}); the same command tries them again`,
    ]);
  });

  it('ends with a table once everything is there, and knows runs of other settings', async () => {
    rmSync(at('fb/0.5-1'));
    const all = await sparrow('sweep', ...grid, '--quiet', '--', ...words);
    expect([all.code, all.lines]).toEqual([0, []]);
    const table = all.stdout.trim().split('\n');
    expect(table[0].split(/ {2,}/)).toEqual([
      'run',
      'density',
      'seed',
      'state',
      'RA best',
      'RA final',
      'SA final',
      'density',
      'time',
    ]);
    const states = table.slice(2).map(line => line.split(/ {2,}/).slice(0, 4));
    expect(states).toEqual([
      ['fb/0.2-1', '0.2', '1', 'finished before'],
      ['fb/0.2-2', '0.2', '2', 'finished before'],
      ['fb/0.5-1', '0.5', '1', 'done'],
      ['fb/0.5-2', '0.5', '2', 'finished before'],
    ]);
    const other = await sparrow(
      'sweep',
      '--grid',
      'seed=1',
      '--quiet',
      '--',
      ...words.slice(0, -1),
      'fb/0.2-{seed}',
      '--density',
      '0.2',
      '--lr',
      '0.05',
    );
    expect(other.code).toBe(1);
    expect(other.lines.at(-1)).toContain('cannot resume fb/0.2-1 with other settings: --lr was 0.1, now 0.05');
  });

  it.each(['SIGINT', 'SIGHUP'] as const)(
    'stops with its run at %s, exit code 130, and goes on with it afterwards',
    async signal => {
      const long = ['train', ...tiny, '--limit', '32', '--epochs', '40', '--save-dir', `${signal}/{seed}`];
      let asked = false;
      const { code, lines } = await run(process.execPath, [bin, 'sweep', '--grid', 'seed=1,2', '--', ...long], (line, kill) => {
        if (line.startsWith('epoch 1') && !asked) kill(signal);
        asked ||= line.startsWith('epoch 1');
      });
      expect([code, lines.at(-1)]).toEqual([130, 'sparrow: interrupted; the same command goes on']);
      expect(existsSync(at(`${signal}/1/checkpoint.safetensors`))).toBe(true);
      expect(existsSync(at(`${signal}/2`))).toBe(false);
      const plan = await sparrow('sweep', '--grid', 'seed=1,2', '--dry-run', '--json', '--', ...long);
      expect(JSON.parse(plan.stdout).runs.map((r: { state: string }) => r.state)).toEqual(['begun', 'new']);
    },
  );

  it('that is killed takes its run with it, which saves itself', async () => {
    const long = ['train', ...tiny, '--limit', '32', '--epochs', '400', '--save-dir', 'killed/{seed}'];
    const lock = at('killed/1/run.lock');
    let holder = 0;
    const { code } = await run(process.execPath, [bin, 'sweep', '--grid', 'seed=1', '--', ...long], (line, kill) => {
      if (!line.startsWith('epoch 1') || holder) return;
      holder = JSON.parse(readFileSync(lock, 'utf8')).pid;
      kill('SIGKILL');
    });
    expect([code, holder > 0]).toEqual([null, true]);
    await vi.waitUntil(() => !isRunning(holder), { timeout: 20_000, interval: 50 });
    expect(existsSync(lock)).toBe(false);
    const { epoch } = decodeCheckpoint(readFileSync(at('killed/1/checkpoint.safetensors')), 'checkpoint');
    expect(epoch).toBeLessThan(400);
  });

  const planned = async (...command: string[]) => {
    const { runs } = await inProcessJson(['sweep', '--grid', 'seed=1', '--dry-run', '--json', '--', ...command]);
    return runs[0] as { state: string; error?: string; command: string[] };
  };

  it.each([0, 1])('goes on with --imp that was broken off in round %i', async round => {
    const saveDir = at(`imp-${round}`);
    const config = resolveConfig({ ...small, imp: true, impRate: 0.3, density: 0.5, seed: 1, saveDir });
    const begun = () => existsSync(join(saveDir, `round-${round}`, 'config.json'));
    expect(await trainRun(config, { shouldStop: begun }, { device })).toEqual({ interrupted: true });
    expect(existsSync(join(saveDir, 'config.json'))).toBe(false);
    const { state, command } = await planned(...quick, '--imp', '--imp-rate', '0.3', '--density', '0.5', '--save-dir', saveDir);
    expect([state, command.at(-1)]).toEqual(['begun', '--resume']);
  });

  it('of train does not take the folders beside its own for a run of two stages', async () => {
    await train(1, 'beside_stage2');
    expect(await planned(...quick, '--fb', '--save-dir', at('beside'))).toMatchObject({ state: 'new' });
  });

  it('of robust-bird knows its own runs, those of other settings and those of other commands', async () => {
    const stages = { stage1: 'sgd', epochs1: 1, stage2: 'sgd', epochs2: 1, pruning: 'unstructured', density: 0.5 } as const;
    const { mode, epochs, ...shared } = small;
    await trainRobustBird(resolveRobustBird({ ...shared, ...stages, seed: 1, saveDir: at('rb') }), {}, { device });
    const flags = ['--stage1', 'sgd', '--epochs1', '1', '--stage2', 'sgd', '--epochs2', '1', '--pruning', 'unstructured'];
    const command = (name: string, density: string) => {
      const words = ['robust-bird', ...network, '--limit', '16', ...flags, '--save-dir', at(name), '--density', density];
      return words;
    };
    expect(await planned(...command('rb', '0.5'))).toMatchObject({ state: 'finished' });
    const why = `cannot resume ${at('rb_stage2')} with other settings: --density was 0.5, now 0.01`;
    expect(await planned(...command('rb', '0.01'))).toMatchObject({
      state: 'other settings',
      error: expect.stringContaining(why),
    });
    const { code, stdout, stderr } = await inProcess(['sweep', '--grid', 'seed=1', '--json', '--', ...command('rb', '0.01')]);
    expect([code, JSON.parse(stdout).runs[0].state]).toEqual([1, 'failed']);
    expect(linesOf(stderr)[0]).toContain(`sparrow: [1/1] ${at('rb')}: ${why}`);
    rmSync(at('rb_stage2/result.json'));
    expect(await planned(...command('rb', '0.5'))).toMatchObject({ state: 'begun' });

    await train(1, 'foreign_stage2');
    expect(await planned(...command('foreign', '0.5'))).toMatchObject({
      state: 'other settings',
      error: `${at('foreign_stage2')} holds the result of another command: it has no robust-bird.json; give another --save-dir`,
    });
  });

  it.each<[string, string[], RegExp]>([
    ['no grid', ['--', ...quick], /--grid is required: what varies, as in --grid seed=1,2,3$/],
    ['no command', ['--grid', 'seed=1'], /missing required argument 'command'$/],
    ['a command that is not trained', ['--grid', 'seed=1', '--', 'bench'], /a sweep is of train or robust-bird, not of 'bench'$/],
    [
      'a value that the flag does not take',
      ['--grid', 'density=0.2,2', '--', ...quick, '--fb', '--save-dir', 'x/{density}'],
      /--density must be a number in \(0, 1\], got '2'$/,
    ],
    [
      'settings that contradict',
      ['--grid', 'seed=1', '--', ...quick, '--fb', '--rigl', '--save-dir', 'x'],
      /--rigl and --fb: one method at a time$/,
    ],
    [
      'stages that contradict',
      [
        ...['--dry-run', '--grid', 'seed=1', '--', 'robust-bird', ...network, '--stage1', 'sgd', '--stage1-pretrained', 'x'],
        ...['--stage2', 'sgd', '--epochs2', '1', '--pruning', 'channel', '--density', '0.5', '--save-dir', 'x'],
      ],
      /--stage1 and --stage1-pretrained: a pretrained checkpoint takes the place of stage 1; give one of them$/,
    ],
    [
      'a score',
      ['--grid', 'seed=1', '--', ...quick, '--eval', '--pretrained', 'x', '--save-dir', 'x'],
      /a sweep trains, and --eval does not: leave it out, or score checkpoints with sparrow eval$/,
    ],
    [
      'no folder',
      ['--grid', 'seed=1', '--', ...quick],
      /--save-dir is required in the command: each run's folder, such as runs\/\{seed\}$/,
    ],
    [
      'one folder for two runs',
      ['--grid', 'seed=1,2', '--', ...quick, '--save-dir', 'x'],
      /--save-dir x would be the folder of two runs: put \{seed\} into it$/,
    ],
  ])('is refused at once for %s', async (_, args, message) => {
    const written: unknown[] = [];
    const stderr = vi.spyOn(process.stderr, 'write').mockImplementation(text => written.push(text) > 0);
    const code = await runProgram(['sweep', ...args]).finally(() => stderr.mockRestore());
    expect([code, written]).toEqual([2, [expect.stringMatching(/^sparrow: .*\n$/)]]);
    expect(String(written[0]).trim()).toMatch(message);
  });
});
