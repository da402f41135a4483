/** The pickle reader: what Python writes is read, everything else is refused with the file's name, and nothing is ever called. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { latin1 } from '../../src/data/pickle.ts';
import { type ByteArray, unpickle } from '../../src/data/pickle-arrays.ts';
import { FileError } from '../../src/errors.ts';
import { array2, pickle2, pickle4, Raw } from './pickle-writer.ts';

const read = (bytes: Uint8Array) => unpickle(bytes, 'some_batch') as Map<string, unknown>;
const code = (text: string) => Buffer.from(text, 'latin1');

describe('unpickle', () => {
  it('reads any labels and bytes back, from both protocols and both NumPy spellings', () => {
    const dictionary = fc.record({
      labels: fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })),
      rows: fc.integer({ min: 0, max: 5 }),
      width: fc.integer({ min: 1, max: 400 }),
      fill: fc.integer({ min: 0, max: 255 }),
      module: fc.constantFrom('numpy.core' as const, 'numpy._core' as const),
    });
    fc.assert(
      fc.property(dictionary, ({ labels, rows, width, fill, module }) => {
        const data = Uint8Array.from({ length: rows * width }, (_, i) => fill + 7 * i);
        const files = [
          pickle2({ batch_label: 'training batch 1 of 5', labels, data: array2([rows, width], data, { module }) }),
          pickle4('labels', labels, [rows, width], data),
        ];
        for (const file of files) {
          const found = read(file);
          const array = found.get('data') as ByteArray;
          expect(found.get('labels')).toEqual(labels);
          expect(array.shape).toEqual([rows, width]);
          expect(Buffer.compare(array.data, data)).toBe(0);
        }
        expect(latin1(read(files[0]).get('batch_label') as Uint8Array)).toBe('training batch 1 of 5');
      }),
    );
  });

  it('reads a column-major array in row-major order', () => {
    const columns = Uint8Array.of(1, 4, 2, 5, 3, 6);
    const array = read(pickle2({ data: array2([2, 3], columns, { columnMajor: true }) })).get('data') as ByteArray;
    expect([...array.data]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('reads bytes that Python 3 wrote with protocol 2, as encoded text', () => {
    const encoded = new Raw(code('c_codecs\nencode\nX\x04\x00\x00\x00a\xc3\xa9bX\x06\x00\x00\x00latin1\x86R'));
    expect(read(pickle2({ bytes: encoded })).get('bytes')).toEqual(Buffer.from([0x61, 0xe9, 0x62]));
  });

  it('refuses to call anything', () => {
    const attack = new Raw(code('cos\nsystem\nU\x04true\x85R'));
    expect(() => read(pickle2({ labels: attack }))).toThrow(/^some_batch: the name os\.system \(byte \d+\)/);
    const built = new Raw(code('c__builtin__\neval\nU\x011\x85R'));
    expect(() => read(pickle2({ labels: built }))).toThrow(/__builtin__\.eval/);
    const wrong = new Raw(code('cnumpy\nndarray\nK\x01\x85R'));
    expect(() => read(pickle2({ labels: wrong }))).toThrow(/a call that is not an array constructor/);
    const filled = new Raw(code('cnumpy\nndarray\nK\x01a'));
    expect(() => read(pickle2({ labels: filled }))).toThrow(/items for what is not a list/);
    expect(() => read(pickle2({ labels: new Raw(code('\x8f')) }))).toThrow(/the name builtins\.set/);
  });

  it('names the type of an array that is not of bytes, and a length that does not fit the shape', () => {
    const floats = array2([1], Uint8Array.of(0, 0, 0, 0), { type: 'f4' });
    expect(() => read(pickle2({ data: floats }))).toThrow('some_batch: an array of type f4');
    expect(() => read(pickle2({ data: array2([2, 3], Uint8Array.of(1, 2, 3)) }))).toThrow('an array of shape [2,3] with 3 bytes');
  });

  it('ends in a FileError for every truncation and any damage, and never in another error', () => {
    const whole = pickle2({ labels: [1, 2, 300], data: array2([3, 4], new Uint8Array(12)) });
    for (let length = 0; length < whole.length; length++) {
      expect(() => read(whole.subarray(0, length)), `${length} bytes`).toThrow(FileError);
    }
    const damage = fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), changes => {
        const bytes = Buffer.from(whole);
        for (const [at, value] of changes) bytes[at] = value;
        try {
          read(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(FileError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('refuses other protocols and files that are no pickles', () => {
    expect(() => read(code('(dp1\n.'))).toThrow('some_batch: not a pickle of protocol 2 to 4');
    expect(() => read(code('\x80\x05}.'))).toThrow('pickle protocol 5; protocols 2 to 4 are read');
  });
});
