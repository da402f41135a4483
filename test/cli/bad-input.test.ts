/**
 * Every kind of bad input, as a user meets it: the command in a process of its own, its exit code, its one line on stderr that says what
 * is wrong, where, and what to do, and nothing half-written in any folder.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../src/data/files.ts';
import { writeCifar10Binary } from '../data/cifar-writer.ts';

const bin = inject('command');
const base = mkdtempSync(join(tmpdir(), 'sparrow-bad-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));
let folders = 0;
/** A path that nothing has used yet. */
const fresh = () => join(base, `f${folders++}`);

interface Outcome {
  code: number | null;
  /** Lines on stderr without progress (epochs, the first step), and without what lavapipe's driver makes Dawn say. */
  lines: string[];
  stdout: string;
}

/** Runs the command. @param signals sent when the run has begun, and at each further line of `sparrow: ...` @param limit of a file, in KiB */
function sparrow(args: string[], { signals = [], limit }: { signals?: NodeJS.Signals[]; limit?: number } = {}): Promise<Outcome> {
  const folder = args[args.indexOf('--save-dir') + 1];
  const [command, ...given] = limit
    ? ['bash', '-c', `ulimit -f ${limit}; exec "$@"`, 'bash', process.execPath, bin, ...args]
    : [process.execPath, bin, ...args];
  const child = spawn(command, given, { stdio: ['ignore', 'pipe', 'pipe'] });
  const out = { stdout: '', stderr: '' };
  const send = () => void (signals.length && child.kill(signals.shift()));
  const begun = signals.length
    ? setInterval(() => {
        if (!existsSync(join(folder, 'config.json'))) return;
        clearInterval(begun);
        send();
      }, 20)
    : undefined;
  child.stdout.setEncoding('utf8').on('data', text => (out.stdout += text));
  child.stderr.setEncoding('utf8').on('data', text => {
    out.stderr += text;
    if (text.includes('sparrow: ')) send();
  });
  return new Promise(resolve => {
    child.on('close', code => {
      clearInterval(begun);
      const lines = out.stderr.split('\n').filter(line => line && !/^(epoch |first step |Warning: maxDynamic)/.test(line));
      resolve({ code, lines, stdout: out.stdout });
    });
  });
}

/** Asserts the exit code, one line on stderr and none on stdout. */
async function refused(code: 1 | 2, args: string[], message: RegExp, options: { limit?: number } = {}): Promise<void> {
  const outcome = await sparrow(args, options);
  expect(outcome.lines).toHaveLength(1);
  expect(outcome.lines[0]).toMatch(/^sparrow: /);
  expect(outcome.lines[0]).toMatch(message);
  expect([outcome.code, outcome.stdout]).toEqual([code, '']);
}

/** Files of a folder, temporary ones included; undefined where there is no folder. */
const filesOf = (folder: string) => (existsSync(folder) ? readdirSync(folder).sort() : undefined);
const sha = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

const network = ['--arch', 'resnet8', '--width', '2', '--batch-size', '8', '--limit', '16', '--eval-limit', '4'];
const quick = [...network, '--mode', 'sgd', '--test-step', '1', '--epochs', '1'];
const onShapes = ['train', '--dataset', 'shapes', ...quick];

/** A finished run that the tests below read, and copies of its checkpoint that they damage. */
const good = fresh();
const goodFile = join(good, 'checkpoint.safetensors');
beforeAll(async () => {
  expect((await sparrow([...onShapes, '--save-dir', good])).code).toBe(0);
  expect(filesOf(good)).toContain('report.html');
});

describe('wrong usage: exit code 2', () => {
  it.each<[string, string[], RegExp]>([
    ['an unknown command', ['trian'], /unknown command 'trian'; did you mean train\?$/],
    ['an unknown flag', [...onShapes, '--densty', '1'], /unknown option '--densty'; did you mean --density\?$/],
    ['an unknown data set', ['train', '--dataset', 'mnist', ...quick], /--dataset must be one of cifar10, .*got 'mnist'$/],
    ['an unknown architecture', [...onShapes, '--arch', 'lenet'], /--arch must be one of resnet18, .*resnet8, got 'lenet'$/],
    ['density 0', [...onShapes, '--fb', '--density', '0'], /--density must be a number in \(0, 1\], got '0'$/],
    ['density 1.2', [...onShapes, '--fb', '--density', '1.2'], /--density must be a number in \(0, 1\], got '1.2'$/],
    ['a negative eps', [...onShapes, '--train-eps', '-1'], /--train-eps must be a number >= 0, got '-1'$/],
    ['batch 0', [...onShapes, '--batch-size', '0'], /--batch-size must be a whole number >= 1, got '0'$/],
    ['NaN', [...onShapes, '--lr', 'NaN'], /--lr must be a number >= 0, got 'NaN'$/],
  ])('%s', async (_, args, message) => {
    const saveDir = fresh();
    await refused(2, [...args, ...(args.length > 1 ? ['--save-dir', saveDir] : [])], message);
    expect(filesOf(saveDir)).toBeUndefined();
  });
});

describe('bad data: exit code 1, and no folder is made', () => {
  /** CIFAR-10 of 2 images a batch with one thing changed; the path of its batch 3. */
  function damaged(change: (batch: string) => void): string {
    const data = fresh();
    change(join(writeCifar10Binary(data, 2), 'data_batch_3.bin'));
    return data;
  }

  it.each<[string, () => string, RegExp]>([
    ['a missing folder', fresh, /data folder .* does not exist; `sparrow data fetch cifar10` downloads it$/],
    [
      'an empty folder',
      () => mkdtempSync(join(base, 'empty')),
      /data folder .* is empty: expected cifar-10-batches-bin .*downloads it$/,
    ],
    [
      'a truncated batch',
      () => damaged(file => truncateSync(file, 5000)),
      /data_batch_3.bin: truncated: 5000 bytes .*fetch it again$/,
    ],
    [
      'a missing batch',
      () => damaged(file => rmSync(file)),
      /cifar-10-batches-bin: data_batch_3.bin missing; CIFAR-10 is incomplete there$/,
    ],
    [
      'a label out of range',
      () =>
        damaged(file => {
          const bytes = readFileSync(file);
          bytes[3073] = 77;
          writeFileSync(file, bytes);
        }),
      /data_batch_3.bin: row 1 has label 77, outside 0..9; the file is damaged or of another data set$/,
    ],
  ])('%s', async (_, data, message) => {
    const saveDir = fresh();
    await refused(1, ['train', '--dataset', 'cifar10', '--data', data(), ...quick, '--save-dir', saveDir], message);
    expect(filesOf(saveDir)).toBeUndefined();
  });
});

describe('a bad checkpoint: exit code 1, one line that names it', () => {
  /** A file of the given bytes. */
  function file(bytes: Uint8Array): string {
    const path = fresh();
    writeFileSync(path, bytes);
    return path;
  }
  const changedHeader = (change: (header: Record<string, { data_offsets: number[]; shape: number[] }>) => void) => {
    const bytes = readFileSync(goodFile);
    const length = Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
    change(header);
    const text = Buffer.from(JSON.stringify(header));
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(text.length));
    return file(Buffer.concat([size, text, bytes.subarray(8 + length)]));
  };
  const claimedLength = (claim: bigint) => {
    const bytes = readFileSync(goodFile);
    bytes.writeBigUInt64LE(claim);
    return file(bytes);
  };
  const newer = () => {
    const { tensors, metadata } = readSafetensors(goodFile);
    const path = fresh();
    writeSafetensors(path, tensors, { ...metadata, format_version: '9' });
    return path;
  };
  const rows: [string, () => string, RegExp][] = [
    ['missing', fresh, /cannot read .*: it does not exist$/],
    ['truncated', () => file(readFileSync(goodFile).subarray(0, 9000)), /is truncated: /],
    ['not safetensors', () => file(Buffer.from('GIF89a: this is some other file')), /is not a safetensors file \(/],
    [
      'a .pth file cut short',
      () => file(Buffer.from('PK\x03\x04 this was longer')),
      /is not a whole zip archive: it is cut off or damaged/,
    ],
    ['empty', () => file(Buffer.alloc(0)), /is not a safetensors file \(0 bytes/],
    ['a header longer than the file', () => claimedLength(90_000_000n), /is truncated: its header claims 90000000 bytes/],
    ['a header of absurd length', () => claimedLength(2n ** 60n), /is not a safetensors file \(its first 8 bytes/],
    [
      'an offset outside of the data',
      () => changedHeader(h => void (h['linear.weight'].data_offsets = [1e6, 1e6 + 320])),
      /'linear.weight'|belong to no tensor/,
    ],
    [
      'offsets that overlap',
      () => changedHeader(h => void (h['linear.weight'].data_offsets = h['conv1.weight'].data_offsets)),
      /tensor 'linear.weight': its offsets span 216 bytes, but F32 \[10,8\] takes 320$/,
    ],
    ['a newer format version', newer, /has format version 9, this sparrow reads up to 1; update it to use the file$/],
  ];

  it.each(rows)('%s', async (_, path, message) => {
    const checkpoint = path();
    await refused(1, [...onShapes, '--eval', '--pretrained', checkpoint], message);
    expect(await sparrow(['inspect', checkpoint])).toMatchObject({ code: 1, lines: [expect.stringMatching(message)] });
  });

  it.each<[string, string[], RegExp]>([
    ['of another architecture', ['--arch', 'resnet18'], /checkpoint.safetensors: arch is resnet8, not resnet18$/],
    ['of another width', ['--width', '4'], /checkpoint.safetensors: width is 2, not 4$/],
  ])('%s, scored and trained from', async (_, flags, message) => {
    const saveDir = fresh();
    await refused(1, [...onShapes, ...flags, '--eval', '--pretrained', goodFile], message);
    await refused(1, [...onShapes, ...flags, '--init', goodFile, '--save-dir', saveDir], message);
    expect(filesOf(saveDir)).toBeUndefined(); // no folder is made
  });

  /** The finished run's checkpoint with one NaN in a weight: a ReLU could hide it, and the accuracies would look like some. */
  function broken(path: string): string {
    const { tensors, metadata } = readSafetensors(goodFile);
    (tensors.get('blocks.1.bn1.weight')!.data as Float32Array)[1] = Number.NaN;
    writeSafetensors(path, tensors, metadata);
    return path;
  }

  it.each<[string, (checkpoint: string) => string[]]>([
    ['scored', checkpoint => ['eval', '--checkpoint', checkpoint, '--limit', '4']],
    ['attacked', checkpoint => ['attack', '--checkpoint', checkpoint, '--limit', '4', '--attack', 'fgsm', '--out', fresh()]],
    ['explained', checkpoint => ['explain', '--checkpoint', checkpoint, '--out', fresh()]],
    ['exported', checkpoint => ['export', '--checkpoint', checkpoint, '--to', 'safetensors', '--out', fresh()]],
    ['scored by train', checkpoint => [...onShapes, '--eval', '--pretrained', checkpoint]],
    ['trained from', checkpoint => [...onShapes, '--init', checkpoint, '--save-dir', fresh()]],
  ])('with a NaN, %s', async (_, command) => {
    const message = /f\d+: 1 of the 2 values of blocks.1.bn1.weight are not finite; use another checkpoint$/;
    await refused(1, command(broken(fresh())), message);
  });

  it('with a NaN, resumed from', async () => {
    const saveDir = fresh();
    mkdirSync(saveDir);
    broken(join(saveDir, 'checkpoint.safetensors'));
    await refused(1, [...onShapes, '--save-dir', saveDir, '--resume'], /blocks.1.bn1.weight are not finite/);
    expect(filesOf(saveDir)).toEqual(['checkpoint.safetensors']);
  });

  it('plain weights of wrong shapes', async () => {
    const { tensors } = readSafetensors(goodFile);
    const plain = fresh();
    const model = new Map([...tensors].filter(([name]) => !name.startsWith('momentum.')));
    writeSafetensors(plain, model.set('linear.weight', { dtype: 'F32', shape: [10, 3], data: new Float32Array(30) }));
    const message = /does not fit the model: 1 of another shape: linear.weight \[10,3\] instead of \[10,8\]$/;
    await refused(1, [...onShapes, '--eval', '--pretrained', plain], message);
  });

  it('resumed from: the run does not begin anew over it', async () => {
    const saveDir = fresh();
    mkdirSync(saveDir);
    const path = join(saveDir, 'checkpoint.safetensors');
    writeFileSync(path, readFileSync(goodFile).subarray(0, 9000));
    await refused(1, [...onShapes, '--save-dir', saveDir, '--resume'], /checkpoint.safetensors: is truncated: /);
    expect([filesOf(saveDir), statSync(path).size]).toEqual([['checkpoint.safetensors'], 9000]);
  });

  it('resumed from without its momentum', async () => {
    const saveDir = fresh();
    mkdirSync(saveDir);
    const { tensors, metadata } = readSafetensors(goodFile);
    tensors.delete('momentum.linear.bias');
    writeSafetensors(join(saveDir, 'checkpoint.safetensors'), tensors, metadata);
    const message = /checkpoint.safetensors: its momentum: does not fit the model: 1 missing: linear.bias$/;
    await refused(1, [...onShapes, '--save-dir', saveDir, '--resume'], message);
    expect(filesOf(saveDir)).toEqual(['checkpoint.safetensors']);
  });
});

describe('a folder that cannot be written', () => {
  it('below a file', async () => {
    const path = fresh();
    writeFileSync(path, 'a file');
    await refused(
      1,
      [...onShapes, '--save-dir', join(path, 'run')],
      /cannot write to folder .*run: a part of the path is a file, not a folder$/,
    );
    expect(readFileSync(path, 'utf8')).toBe('a file');
  });

  // Only SwiftShader's own files stay below such a limit: other drivers die of it (SIGBUS) before a checkpoint is written.
  it.skipIf(process.env.SPARROW_ADAPTER !== 'swiftshader')('with a limit on the size of files', async () => {
    const saveDir = fresh();
    // wide enough that a checkpoint passes the limit
    const args = [...onShapes, '--width', '16', '--save-dir', saveDir];
    await refused(1, args, /cannot write .*\.safetensors: the file would be larger than allowed here$/, { limit: 300 });
    expect(filesOf(saveDir)).toEqual(['config.json', 'kernels.json', 'metrics.jsonl']);
    JSON.parse(readFileSync(join(saveDir, 'config.json'), 'utf8'));
  });

  // Only root may mount a file system of a few pages; elsewhere this test is skipped.
  const disk = fresh();
  const mounted = mount(disk);
  afterAll(() => void (mounted && execFileSync('umount', [disk])));
  it.skipIf(!mounted)('on a full disk', async () => {
    await refused(1, [...onShapes, '--save-dir', disk], /cannot write .*\.safetensors: the disk is full$/);
    expect(filesOf(disk)).toEqual(['config.json', 'kernels.json', 'metrics.jsonl']);
  });

  function mount(path: string): boolean {
    try {
      mkdirSync(path, { recursive: true });
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12k', 'tmpfs', path], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  }
});

describe('a run that cannot go on', () => {
  it('resumed with another configuration: exit code 2, names the flag, the run is as it was', async () => {
    const before = sha(goodFile);
    const message = /cannot resume .*: --lr was 0.1, now 0.5; repeat the settings, or give another --save-dir$/;
    await refused(2, [...onShapes, '--lr', '0.5', '--save-dir', good, '--resume'], message);
    expect(sha(goodFile)).toBe(before);
    expect(filesOf(good)!.filter(name => name.includes('tmp'))).toEqual([]);
  });

  it('its loss becomes NaN at once: stops and names the iteration; there is no checkpoint', async () => {
    const saveDir = fresh();
    const args = [...onShapes, '--limit', '40', '--lr', '1e30', '--save-dir', saveDir];
    await refused(1, args, /the loss became NaN at iteration \d+; lower --lr or check the data$/);
    expect(filesOf(saveDir)).toEqual(['config.json', 'kernels.json', 'metrics.jsonl']);
  });

  it('its loss or its weights become NaN later: the last good checkpoint is kept', async () => {
    const saveDir = fresh();
    const args = [...onShapes, '--limit', '40', '--lr', '1e3', '--epochs', '20', '--save-dir', saveDir];
    const message = /became NaN .*iteration \d+; the checkpoint from before it is kept; lower --lr or check the data$/;
    await refused(1, args, message);
    const { tensors, metadata } = readSafetensors(join(saveDir, 'checkpoint.safetensors'));
    expect(Number(metadata.iteration)).toBeGreaterThan(0);
    for (const [name, { data }] of tensors) expect([name, Array.from(data, Number).every(Number.isFinite)]).toEqual([name, true]);
  });
});

describe('Ctrl-C: exit code 130', () => {
  it('finishes the iteration and saves; the run can be resumed', async () => {
    const saveDir = fresh();
    const args = [...onShapes, '--epochs', '50', '--save-dir', saveDir];
    const { code, lines, stdout } = await sparrow(args, { signals: ['SIGINT'] });
    expect([code, stdout]).toEqual([130, '']);
    expect(lines[0]).toBe('sparrow: stopping after this iteration; a second Ctrl-C stops at once');
    expect(lines.slice(1)).toEqual([`sparrow: interrupted; saved in ${saveDir}, --resume continues it`]);
    expect(Number(readSafetensors(join(saveDir, 'checkpoint.safetensors')).metadata.iteration)).toBeGreaterThan(0);
    expect(filesOf(saveDir)!.filter(name => name.includes('tmp'))).toEqual([]);
  });

  it('a second one ends it at once, with nothing half-written', async () => {
    const saveDir = fresh();
    // the iteration is long, so that the second signal comes before its end
    const args = ['train', '--dataset', 'shapes', ...network, '--train-step', '100', '--epochs', '50', '--save-dir', saveDir];
    const { code, lines } = await sparrow(args, { signals: ['SIGINT', 'SIGINT'] });
    expect([code, lines]).toEqual([130, ['sparrow: stopping after this iteration; a second Ctrl-C stops at once']]);
    expect(filesOf(saveDir)).toEqual(['config.json', 'kernels.json', 'metrics.jsonl']);
  });
});
