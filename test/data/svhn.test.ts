/** MAT-files of level 5, and SVHN in them, as published: images column by column, labels 1 to 10. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseMat } from '../../src/data/mat.ts';
import { openSvhn } from '../../src/data/svhn.ts';
import { FileError } from '../../src/errors.ts';
import { compressed, element, matFile, matrix } from './mat-writer.ts';

describe('a MAT-file', () => {
  it('gives back arrays of any name, shape and type, compressed or not', () => {
    const shapes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 2, maxLength: 4 });
    const arrays = fc.array(fc.tuple(fc.stringMatching(/^[a-zA-Z]\w{0,9}$/), shapes, fc.boolean(), fc.boolean()), {
      maxLength: 4,
    });
    fc.assert(
      fc.property(arrays, list => {
        const expected = new Map<string, { shape: number[]; data: number[] }>();
        const parts = list.map(([name, shape, isDouble, isCompressed], k) => {
          const data = Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => (i * 7 + k) % 256);
          expected.set(name, { shape, data });
          const stored = isDouble ? Buffer.from(Float64Array.from(data).buffer) : Buffer.from(data);
          const part = matrix(name, isDouble ? 6 : 9, shape, isDouble ? 9 : 2, stored);
          return isCompressed ? compressed(part) : part;
        });
        const found = parseMat(matFile(...parts), 'x.mat');
        expect(new Map([...found].map(([name, { shape, data }]) => [name, { shape, data: [...data] }]))).toEqual(expected);
      }),
    );
  });

  it('may hold integers of 64 bits', () => {
    const signed = matrix('a', 14, [1, 2], 12, Buffer.from(BigInt64Array.of(-3n, 10n).buffer));
    const unsigned = matrix('b', 15, [2, 1], 13, Buffer.from(BigUint64Array.of(2n ** 40n, 0n).buffer));
    expect([...parseMat(matFile(signed, unsigned), 'x').values()]).toEqual([
      { shape: [1, 2], data: Float64Array.of(-3, 10) },
      { shape: [2, 1], data: Float64Array.of(2 ** 40, 0) },
    ]);
  });

  it('may hold other things beside the arrays', () => {
    const text = matrix('note', 4, [1, 2], 4, Buffer.from('h\0i\0'));
    expect([
      ...parseMat(matFile(element(6, Buffer.alloc(12)), text, matrix('a', 6, [1, 1], 2, Buffer.of(5))), 'x').keys(),
    ]).toEqual(['a']);
  });

  it.each<[string, Buffer, string]>([
    ['of another kind', Buffer.from('PK'), 'is no MAT-file of level 5'],
    ['of version 7.3', Buffer.from('MATLAB 7.3 MAT-file, HDF5'), 'is a MAT-file of version 7.3 (HDF5)'],
    ['truncated', matFile(matrix('X', 9, [3, 3], 2, Buffer.alloc(9))).subarray(0, 150), 'is truncated: an element of'],
    ['damaged inside', matFile(compressed(matrix('X', 9, [3, 3], 2, Buffer.alloc(9))).fill(9, 20)), 'is damaged: '],
    ['of too few numbers', matFile(matrix('X', 9, [3, 3], 2, Buffer.alloc(8))), "is damaged: array 'X' [3,3] holds 8 values"],
    [
      'of an unknown type',
      matFile(matrix('X', 6, [1, 2], 8, Buffer.alloc(16))),
      'holds numbers of type 8, which is not supported',
    ],
  ])('%s is refused', (_, bytes, message) => {
    expect(() => parseMat(bytes, 'x.mat')).toThrow(FileError);
    expect(() => parseMat(bytes, 'x.mat')).toThrow(`x.mat: ${message}`);
  });
});

describe('SVHN', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sparrow-svhn-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Row n, channel c, row y, column x of the images. */
  const pixel = (n: number, c: number, y: number, x: number) => (50 * n + 11 * c + 5 * y + x) % 256;
  const label = (n: number) => (n % 10) + 1;

  function write(name: string, from: number, count: number, own = folder): void {
    const x = Buffer.alloc(3072 * count);
    for (let n = 0, at = 0; n < count; n++)
      for (let c = 0; c < 3; c++)
        for (let column = 0; column < 32; column++) for (let y = 0; y < 32; y++) x[at++] = pixel(from + n, c, y, column);
    const y = Buffer.from(Array.from({ length: count }, (_, n) => label(from + n)));
    const shape = count === 1 ? [32, 32, 3] : [32, 32, 3, count];
    writeFileSync(
      join(own, name),
      matFile(compressed(matrix('X', 9, shape, 2, x)), compressed(matrix('y', 6, [count, 1], 2, y))),
    );
  }

  it('is read row by row, with the digit 0 as class 0, its last tenth for validation', () => {
    write('train_32x32.mat', 0, 20);
    write('test_32x32.mat', 20, 1);
    const set = openSvhn(folder);
    expect([set.train.count, set.val.count, set.test.count]).toEqual([18, 2, 1]);
    expect([...set.train.labels.subarray(0, 10)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
    expect([set.val.labels[1], set.test.labels[0]]).toEqual([0, 1]);
    expect(set.classes[set.train.labels[8]]).toBe('9');
    for (const [split, first] of [
      [set.train, 0],
      [set.val, 18],
      [set.test, 20],
    ] as const) {
      for (const [n, c, y, x] of [
        [0, 0, 0, 1],
        [0, 1, 1, 0],
        [split.count - 1, 2, 31, 7],
      ])
        expect(split.images[((n * 3 + c) * 32 + y) * 32 + x]).toBe(pixel(first + n, c, y, x));
    }
  });

  it('is found in a folder of its own', () => {
    mkdirSync(join(folder, 'svhn'));
    write('train_32x32.mat', 0, 2, join(folder, 'svhn'));
    write('test_32x32.mat', 2, 1, join(folder, 'svhn'));
    expect(openSvhn(folder).train.count).toBe(1);
  });

  it('names what is missing or wrong', () => {
    const both = /train_32x32\.mat, test_32x32\.mat missing; `sparrow data fetch svhn` downloads SVHN/;
    expect(() => openSvhn(folder)).toThrow(both);
    write('train_32x32.mat', 0, 4);
    expect(() => openSvhn(folder)).toThrow(/: test_32x32\.mat missing/);
    const test = join(folder, 'test_32x32.mat');
    const x = matrix('X', 9, [32, 32, 3], 2, Buffer.alloc(3072));
    const y = (value: number, count = 1) => matrix('y', 6, [count, 1], 2, Buffer.alloc(count, value));
    const cases: [Buffer, RegExp][] = [
      [matFile(x), /test_32x32\.mat: array 'y' is missing/],
      [matFile(matrix('X', 9, [3, 32, 32], 2, Buffer.alloc(3072)), y(1)), /'X' is no uint8 array of shape .* but \[3,32,32\]/],
      [matFile(x, y(1, 2)), /test_32x32\.mat: 1 images but 2 labels/],
      [matFile(x, y(11)), /test_32x32\.mat: row 0 has label 11, outside 1\.\.10/],
    ];
    for (const [bytes, message] of cases) {
      writeFileSync(test, bytes);
      expect(() => openSvhn(folder)).toThrow(message);
    }
  });
});
