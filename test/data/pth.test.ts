/**
 * PyTorch's own files: what `torch.save` of PyTorch 1.13 wrote is read (test/fixtures, made by scripts/fixtures/make.py), what is written is read back, and by PyTorch
 * itself where it is installed; damage ends in one clear error.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { unzipSync, zipSync } from 'fflate';
import { afterAll, describe, expect, it } from 'vitest';
import { isPth, parsePth } from '../../src/data/pth.ts';
import { encodePth } from '../../src/data/pth-writer.ts';
import { type StoredTensor, toFloat32 } from '../../src/data/safetensors.ts';
import { FileError } from '../../src/errors.ts';
import { pickle2, Raw } from './pickle-writer.ts';

const folder = mkdtempSync(join(tmpdir(), 'sparrow-pth-'));
afterAll(() => rmSync(folder, { recursive: true }));
const fixture = (name: string) => readFileSync(new URL(`../fixtures/${name}`, import.meta.url));

describe.each(['torch-zip.pth', 'torch-stream.pth.tar'])('%s', name => {
  it('gives every tensor of its state_dict, whatever its type and layout, and nothing else', () => {
    const bytes = fixture(name);
    expect(isPth(bytes)).toBe(true);
    const found = parsePth(bytes, name);
    const values = Object.fromEntries([...found].map(([key, t]) => [key, { shape: t.shape, data: [...toFloat32(t)] }]));
    const f32 = (...numbers: number[]) => numbers.map(Math.fround);
    expect(values).toEqual({
      'conv.weight': {
        shape: [2, 3, 2, 2],
        data: [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23],
      },
      slice: { shape: [3], data: [1, 2, 3] },
      rest: { shape: [3], data: [3, 4, 5] },
      empty: { shape: [0, 3], data: [] },
      half: { shape: [3], data: [1.5, -2, 0.25] },
      bfloat16: { shape: [3], data: [1.5, -2, 0.25] },
      double: { shape: [1], data: f32(1 / 3) },
      'bn.num_batches_tracked': { shape: [], data: [7] },
      'normalize.mean': { shape: [3], data: f32(0.4914, 0.4822, 0.4465) },
      'normalize.std': { shape: [3], data: f32(0.247, 0.2435, 0.2616) },
    });
    expect(found.get('double')!.dtype).toBe('F64');
    expect(found.get('bn.num_batches_tracked')!.data).toEqual(BigInt64Array.of(7n));
  });

  it('ends in a FileError for every truncation and for any damage, or is read', () => {
    const whole = fixture(name);
    for (let length = 4; length < whole.length; length += 7)
      expect(() => parsePth(whole.subarray(0, length), name), `${length} bytes`).toThrow(FileError);
    const damage = fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), changes => {
        const bytes = Buffer.from(whole);
        for (const [at, value] of changes) bytes[at] = value;
        try {
          parsePth(bytes, name);
        } catch (error) {
          expect(error).toBeInstanceOf(FileError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

/** Names with anything in them, shapes of any rank, and values of any bits. */
const tensors = fc
  .uniqueArray(fc.tuple(fc.string({ minLength: 1 }), fc.array(fc.nat(4), { maxLength: 4 }), fc.boolean(), fc.nat()), {
    minLength: 1,
    selector: ([name]) => name,
  })
  .map(rows => {
    const out = new Map<string, StoredTensor>();
    for (const [name, shape, counter, seed] of rows) {
      const size = shape.reduce((a, b) => a * b, 1);
      if (counter)
        out.set(name, { dtype: 'I64', shape, data: BigInt64Array.from({ length: size }, (_, i) => BigInt(seed - 7 * i)) });
      else out.set(name, { dtype: 'F32', shape, data: Float32Array.from({ length: size }, (_, i) => Math.sin(seed + i)) });
    }
    return out;
  });

it('a zip archive whose directory names more members than there are ends at once', () => {
  const bytes = fixture('torch-zip.pth');
  const record = bytes.lastIndexOf(Buffer.from([0x50, 0x4b, 0x06, 0x06]));
  bytes.writeUInt32LE(0xffffffff, record + 32);
  expect(() => parsePth(bytes, 'x.pth')).toThrow(
    new FileError('x.pth: is not a whole zip archive: it is cut off or damaged; get the file again'),
  );
});

describe('encodePth', () => {
  it('writes what parsePth reads, the same bytes for the same tensors', () => {
    fc.assert(
      fc.property(tensors, state => {
        const bytes = encodePth(state);
        const found = parsePth(bytes, 'x');
        const every = [...state.keys()].every(name => name.startsWith('module.'));
        if (!every) expect([...found]).toEqual([...state]);
        expect(Buffer.compare(bytes, encodePth(state))).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it('begins the values of every tensor at a multiple of 64 bytes, uncompressed', () => {
    const data = Float32Array.of(3.5, -1, 2);
    const bytes = Buffer.from(
      encodePth(
        new Map([
          ['a', { dtype: 'F32', shape: [3], data }],
          ['b', { dtype: 'F32', shape: [3], data }],
        ]),
      ),
    );
    const first = bytes.indexOf(Buffer.from(data.buffer));
    const second = bytes.indexOf(Buffer.from(data.buffer), first + 1);
    expect([first % 64, second % 64, second > first]).toEqual([0, 0, true]);
  });

  const python = ['python3', '/usr/bin/python3'].find(path => spawnSync(path, ['-c', 'import torch']).status === 0);
  it.skipIf(!python)('writes what PyTorch loads', () => {
    const file = join(folder, 'state.pth');
    const state: Map<string, StoredTensor> = new Map([
      ['conv.weight', { dtype: 'F32', shape: [2, 1, 1, 2], data: Float32Array.of(1, -2.5, 3, 1 / 3) }],
      ['bn.num_batches_tracked', { dtype: 'I64', shape: [], data: BigInt64Array.of(9n) }],
      ['ä', { dtype: 'F32', shape: [0], data: new Float32Array() }],
    ]);
    writeFileSync(file, encodePth(state));
    const program =
      'import json, sys, torch; s = torch.load(sys.argv[1]);' +
      'print(type(s).__name__, json.dumps({k: [str(t.dtype), list(t.shape), list(t.stride()), t.flatten().tolist()] for k, t in s.items()}))';
    const [type, json] = execFileSync(python!, ['-c', program, file], { encoding: 'utf8' }).split(/ (.*)/s);
    expect(type).toBe('OrderedDict');
    expect(JSON.parse(json)).toEqual({
      'conv.weight': ['torch.float32', [2, 1, 1, 2], [2, 2, 2, 1], [1, -2.5, 3, Math.fround(1 / 3)]],
      'bn.num_batches_tracked': ['torch.int64', [], [], [9]],
      ä: ['torch.float32', [0], [1], []],
    });
  });

  it('refuses what PyTorch would not read back', () => {
    const half: StoredTensor = { dtype: 'F16', shape: [1], data: new Uint16Array(1) };
    expect(() => encodePth(new Map([['h', half]]))).toThrow(new RangeError("tensor 'h': F16 cannot be written to a .pth file"));
  });
});

const members = unzipSync(fixture('torch-zip.pth'));
const archive = (change: Record<string, Uint8Array | undefined>) => {
  const all = Object.entries({ ...members, ...change }).filter((e): e is [string, Uint8Array] => e[1] !== undefined);
  return zipSync(Object.fromEntries(all), { level: 0 });
};
const code = (text: string) => new Raw(Buffer.from(text, 'latin1'));
const pickled = (entries: Parameters<typeof pickle2>[0]) => archive({ 'torch-zip/data.pkl': pickle2(entries) });
/** A tensor [24] of the archive's first storage. */
const tensor = code(
  'ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x18tQK\x00K\x18\x85K\x01\x85\x89}tR',
);

describe('what else a checkpoint holds is passed over', () => {
  // as CPython 3.11 writes them: each stands beside a state_dict
  it.each<[string, string]>([
    ['a subclass of dict', 'ceasydict\nEasyDict\n)\x81(X\x02\0\0\0lrK\x01X\x01\0\0\0bK\x02u}X\x02\0\0\0lrK\x01sb'],
    ['a subclass of dict with one item', 'ceasydict\nEasyDict\n)\x81X\x02\0\0\0lrK\x01s'],
    ['a subclass of list', 'clists\nL\n)\x81(K\x01K\x02e'],
    ['a deque of one item', 'ccollections\ndeque\n)K\x05\x86RK\x01a'],
    ['keys that are tuples, None, booleans or objects', '}(K\x01K\x02\x86K\x03NK\x04\x88K\x05cenum\nE\nK\x01\x85RK\x06u'],
    ['a set', '\x8f(K\x01K\x02\x90'],
    ['a frozen set', '(K\x01K\x02\x91'],
  ])('%s', (_, written) => {
    const found = parsePth(
      pickled({ before: code(written), state_dict: code(`}X\x01\0\0\0w${tensor.code.toString('latin1')}s`) }),
      'x',
    );
    expect([...found].map(([name, { shape }]) => [name, shape])).toEqual([['w', [24]]]);
  });

  it('entries of a state_dict whose keys are not text are left out', () => {
    const state = code(`}(X\x01\0\0\0w${tensor.code.toString('latin1')}NK\x01u`);
    expect([...parsePth(pickled({ state_dict: state }), 'x').keys()]).toEqual(['w']);
  });

  it('other damage still ends reading', () => {
    for (const [written, message] of [
      [`${tensor.code.toString('latin1')}K\x01a`, 'x: items for a tensor'],
      ['K\x01K\x02a', 'x: items for what is not a list'],
      ['NK\x01K\x02s', 'x: items for what is not a dictionary'],
      [']K\x01K\x02s', 'x: items for what is not a dictionary'],
      ['}(K\x01u', 'x: a key without a value'],
      ['](K\x01\x90', 'x: items for what is not a set'],
    ])
      expect(() => parsePth(pickled({ w: code(written) }), 'x')).toThrow(message);
  });
});

describe('a file that holds no state_dict', () => {
  it.each<[string, () => Uint8Array, string | RegExp]>([
    [
      'another archive',
      () => zipSync({ 'a.txt': Buffer.from('x') }),
      'x: is a zip archive, but not one of torch.save (no data.pkl)',
    ],
    [
      'no tensors',
      () => pickled({ epoch: 3 }),
      'x: holds no state_dict; in PyTorch, torch.save(model.state_dict(), ...) writes one',
    ],
    ['a whole model', () => pickled({ model: code('cnet\nNet\n)\x81}b') }), 'x: holds no state_dict;'],
    [
      'values cut short',
      () => archive({ 'torch-zip/data/0': members['torch-zip/data/0'].subarray(4) }),
      /data\/0 has 92 bytes instead of 96$/,
    ],
    ['values that are missing', () => archive({ 'torch-zip/data/0': undefined }), /data\/0 has 0 bytes instead of 96$/],
    ['big-endian values', () => archive({ 'torch-zip/byteorder': Buffer.from('big') }), 'x: its values are not little-endian'],
    [
      'values of another type',
      () => pickled({ w: code('((X\x07\0\0\0storagectorch\nComplexFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQt') }),
      'x: values of type torch.ComplexFloatStorage',
    ],
    [
      'a tensor larger than its values',
      () =>
        pickled({
          w: code(
            'ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x18tQK\x00K\x19\x85K\x01\x85\x89}tR',
          ),
        }),
      'x: a tensor of shape [25] that reaches beyond its 24 values',
    ],
  ])('%s', (_, bytes, message) => {
    expect(() => parsePth(bytes(), 'x')).toThrow(FileError);
    expect(() => parsePth(bytes(), 'x')).toThrow(message);
  });

  it('runs nothing of what it names', () => {
    const attack = code('cos\nsystem\nU\x04true\x85R');
    expect(() => parsePth(pickled({ state_dict: attack }), 'x')).toThrow('x: holds no state_dict');
    const filled = code('cos\nsystem\nU\x04true\x85RK\x01K\x02s');
    expect(() => parsePth(pickled({ state_dict: filled }), 'x')).toThrow('x: holds no state_dict');
  });
});
