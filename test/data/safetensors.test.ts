/** The safetensors reader against hand-made bytes and damaged files, the writer against the reader. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeSafetensors, parseSafetensors, type StoredTensor, toFloat32 } from '../../src/data/safetensors.ts';
import { FileError } from '../../src/errors.ts';

/** A file from its header as text (or an object) and its data. */
function file(header: object | string, data: ArrayLike<number> = [], claimed?: number): Uint8Array {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const out = new Uint8Array(8 + text.length + data.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(claimed ?? text.length), true);
  out.set(text, 8);
  out.set(data, 8 + text.length);
  return out;
}

const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = 'F32') => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const bytes = (n: number) => new Uint8Array(n);

const tensor: fc.Arbitrary<StoredTensor> = fc.array(fc.nat(4), { maxLength: 3 }).chain(shape => {
  const n = shape.reduce((a, b) => a * b, 1);
  const list = <T>(value: fc.Arbitrary<T>) => fc.array(value, { minLength: n, maxLength: n });
  return fc.oneof(
    list(fc.float()).map(v => ({ dtype: 'F32' as const, shape, data: Float32Array.from(v) })),
    list(fc.double()).map(v => ({ dtype: 'F64' as const, shape, data: Float64Array.from(v) })),
    list(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })).map(v => ({
      dtype: 'I64' as const,
      shape,
      data: BigInt64Array.from(v),
    })),
    list(fc.nat(65535)).map(v => ({ dtype: 'BF16' as const, shape, data: Uint16Array.from(v) })),
    list(fc.nat(1)).map(v => ({ dtype: 'BOOL' as const, shape, data: Uint8Array.from(v) })),
  );
});
const content = fc.record({
  tensors: fc.uniqueArray(fc.tuple(fc.string({ unit: 'grapheme' }), tensor), { selector: ([name]) => name, maxLength: 6 }),
  metadata: fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), { maxKeys: 3 }),
});

describe('reading', () => {
  it('reads a hand-made file', () => {
    const data = new Uint8Array(new Float32Array([1.5, -2]).buffer);
    const read = parseSafetensors(file({ __metadata__: { a: 'b' }, w: entry(0, 8, [1, 2]) }, data), 'x');
    expect(read.metadata).toEqual({ a: 'b' });
    expect([...read.tensors.keys()]).toEqual(['w']);
    expect(read.tensors.get('w')).toEqual({ dtype: 'F32', shape: [1, 2], data: new Float32Array([1.5, -2]) });
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['an empty file', bytes(0), /not a safetensors file/],
    ['text', new TextEncoder().encode('PK archive of something else'), /not a safetensors file/],
    ['a header that is no object', file('[1,2,3]'), /does not begin with \{/],
    ['a header length past the end', file({ w: entry(0, 0) }, [], 5000), /truncated: its header claims 5000 bytes/],
    ['invalid JSON', file('{"w": nonsense}'), /not valid JSON/],
    ['invalid UTF-8', file('{"\u0001"}').map(b => (b === 1 ? 0xff : b)), /not valid JSON/],
    ['a name given twice', file('{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":{}}'), /names 'w' twice/],
    ['a name given twice, once escaped', file('{"w":1,"\\u0077":1}'), /names 'w' twice/],
    ['an entry that is no object', file({ w: [1] }), /tensor 'w': its header entry/],
    ['an unknown dtype', file({ w: entry(0, 4, [1], 'F4') }, bytes(4)), /tensor 'w': dtype "F4"/],
    ['a negative dimension', file({ w: entry(0, 4, [-1]) }, bytes(4)), /tensor 'w': its shape/],
    ['a fractional offset', file({ w: entry(0, 4.5, [1]) }, bytes(8)), /tensor 'w': its data_offsets/],
    ['offsets that run backwards', file({ w: entry(4, 0, [1]) }, bytes(4)), /tensor 'w': its offsets span -4 bytes/],
    ['a size that is not the shape', file({ w: entry(0, 8, [3]) }, bytes(8)), /span 8 bytes, but F32 \[3\] takes 12/],
    ['a gap', file({ v: entry(0, 4), w: entry(8, 12) }, bytes(12)), /tensor 'w': 4 bytes before it/],
    ['an overlap', file({ v: entry(0, 8), w: entry(4, 12) }, bytes(12)), /tensor 'w': its bytes overlap/],
    ['data cut off', file({ v: entry(0, 4), w: entry(4, 12) }, bytes(11)), /truncated: tensor 'w' ends at byte 12/],
    ['data left over', file({ w: entry(0, 4) }, bytes(6)), /2 bytes at its end/],
    ['metadata that is no text', file({ __metadata__: { a: 1 } }), /metadata 'a' is not a string/],
  ])('refuses %s', (_, content, message) => {
    const read = () => parseSafetensors(content, 'run/checkpoint.safetensors');
    expect(read).toThrow(FileError);
    expect(read).toThrow(message);
    expect(read).toThrow(/^run\/checkpoint\.safetensors: /);
  });

  it('refuses every proper beginning of a file', () => {
    const whole = encodeSafetensors(new Map([['w', { dtype: 'F32', shape: [3], data: new Float32Array(3) }]]), { a: 'b' });
    for (let n = 0; n < whole.length; n++) expect(() => parseSafetensors(whole.slice(0, n), 'x')).toThrow(FileError);
  });

  it('answers a damaged file with a FileError or a value, never with another error', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(content, damage, ({ tensors, metadata }, changes) => {
        const damaged = encodeSafetensors(new Map(tensors), metadata);
        for (const [at, value] of changes) damaged[at % damaged.length] = value;
        try {
          parseSafetensors(damaged, 'x');
        } catch (error) {
          expect(error).toBeInstanceOf(FileError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('writing', () => {
  it('gives back what was written, and the same bytes in any insertion order', () => {
    fc.assert(
      fc.property(content, ({ tensors, metadata }) => {
        const encoded = encodeSafetensors(new Map(tensors), metadata);
        const read = parseSafetensors(encoded, 'x');
        expect(new Map(read.tensors)).toEqual(new Map(tensors));
        expect(read.metadata).toEqual(metadata);
        expect(encodeSafetensors(new Map(tensors.toReversed()), metadata)).toEqual(encoded);
        expect(encodeSafetensors(read.tensors, read.metadata)).toEqual(encoded);
      }),
    );
  });

  it('aligns the data of every tensor to its element size', () => {
    const odd = new Map<string, StoredTensor>([
      ['a', { dtype: 'U8', shape: [3], data: new Uint8Array([1, 2, 3]) }],
      ['b', { dtype: 'F32', shape: [1], data: new Float32Array([4]) }],
      ['c', { dtype: 'I64', shape: [], data: new BigInt64Array([5n]) }],
    ]);
    const { tensors } = parseSafetensors(encodeSafetensors(odd), 'x');
    for (const { data } of tensors.values()) expect(data.byteOffset).toBeGreaterThan(0); // a view: only possible when aligned
    expect(tensors).toEqual(odd);
  });

  it('refuses data that do not fit their shape or dtype', () => {
    const wrong = (t: StoredTensor) => () => encodeSafetensors(new Map([['w', t]]));
    expect(wrong({ dtype: 'F32', shape: [2], data: new Float32Array(3) })).toThrow("tensor 'w': 3 values for shape [2]");
    expect(wrong({ dtype: 'F32', shape: [2], data: new Uint8Array(2) })).toThrow('a Uint8Array cannot hold F32');
  });
});

describe('conversion to float32', () => {
  const stored = (dtype: StoredTensor['dtype'], data: StoredTensor['data']) => toFloat32({ dtype, shape: [data.length], data });

  it('decodes binary16 (known values)', () => {
    const bits = [0x0000, 0x8000, 0x0001, 0x03ff, 0x0400, 0x3555, 0x3c00, 0xc000, 0x7bff, 0x7c00, 0xfc00, 0x7e00];
    const values = [0, -0, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 0.333251953125, 1, -2, 65504, Infinity, -Infinity, NaN];
    expect([...stored('F16', Uint16Array.from(bits))]).toEqual(values);
  });

  it('decodes bfloat16 as the upper half of a float32 (all values)', () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    expect(Uint16Array.from(new Uint32Array(stored('BF16', all).buffer), bits => bits >>> 16)).toEqual(all);
  });

  it('rounds doubles and takes integers by value', () => {
    expect([...stored('F64', Float64Array.of(0.1))]).toEqual([Math.fround(0.1)]);
    expect([...stored('I64', BigInt64Array.of(-3n))]).toEqual([-3]);
    expect([...stored('U8', Uint8Array.of(0, 1))]).toEqual([0, 1]);
  });
});
