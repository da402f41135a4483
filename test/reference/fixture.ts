/**
 * Reads the fixtures of test/fixtures: safetensors files that scripts/fixtures/make.py wrote with PyTorch. The reader is the tests' own
 * so that it can check the engine's.
 */
import { readFileSync } from 'node:fs';
import { type Ref, ref } from './array.ts';
import { fromHalf } from './half.ts';

export interface Fixture {
  /** Every array's name, in the file's order. */
  names: string[];
  /** One array, whatever its stored type, in float64. */
  get(name: string): Ref;
  /** All arrays whose names begin with a prefix, without it. */
  group(prefix: string): Record<string, Ref>;
  /** A metadata entry, parsed as JSON. */
  meta<T>(name: string): T;
}

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> & {
  __metadata__?: Record<string, string>;
};

const readers: Record<string, { bytes: number; read: (view: DataView, offset: number) => number }> = {
  F64: { bytes: 8, read: (view, offset) => view.getFloat64(offset, true) },
  F32: { bytes: 4, read: (view, offset) => view.getFloat32(offset, true) },
  F16: { bytes: 2, read: (view, offset) => fromHalf(view.getUint16(offset, true)) },
  U8: { bytes: 1, read: (view, offset) => view.getUint8(offset) },
  I64: { bytes: 8, read: (view, offset) => Number(view.getBigInt64(offset, true)) },
};

/** Opens `test/fixtures/<name>.safetensors`. */
export function readFixture(name: string): Fixture {
  const file = readFileSync(new URL(`../fixtures/${name}.safetensors`, import.meta.url));
  const headerLength = Number(file.readBigUInt64LE(0));
  const { __metadata__: metadata = {}, ...arrays } = JSON.parse(file.toString('utf8', 8, 8 + headerLength)) as Header;
  const view = new DataView(file.buffer, file.byteOffset + 8 + headerLength);
  const names = Object.keys(arrays);
  const get = (key: string): Ref => {
    const entry = arrays[key];
    if (!entry) throw new Error(`${name}.safetensors has no array ${key}`);
    const { bytes, read } = readers[entry.dtype];
    const [start, end] = entry.data_offsets;
    return ref(
      entry.shape,
      Float64Array.from({ length: (end - start) / bytes }, (_, i) => read(view, start + i * bytes)),
    );
  };
  return {
    names,
    get,
    group: prefix =>
      Object.fromEntries(names.filter(key => key.startsWith(prefix)).map(key => [key.slice(prefix.length), get(key)])),
    meta: key => JSON.parse(metadata[key]),
  };
}

/**
 * Large arrays are stored thinned: every s-th value, s the smallest number from size/most up that shares no factor with 6 (so that samples
 * wander over kernel positions and channels). `sample` thins an array the same way.
 */
export function sample(data: Float64Array, most = 256): Float64Array {
  let step = Math.ceil(data.length / most);
  while (step > 1 && (step % 2 === 0 || step % 3 === 0)) step++;
  return data.filter((_, i) => i % step === 0);
}

/** Numbers in [0, 1) by integer arithmetic alone: the rule of `hashed` in scripts/fixtures/make.py, so that what is made of them need not be stored. */
function hashed(count: number, stream: number, seed: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    let h = (Math.imul(i, 2654435761) + stream * 40503 + seed * 69069 + 1) >>> 0;
    for (const [shift, factor] of [
      [15, 2246822519],
      [13, 3266489917],
    ])
      h = Math.imul(h ^ (h >>> shift), factor) >>> 0;
    return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
  });
}

interface Shaped {
  readonly shape: readonly number[];
}

/** The state of a network that `hashed_state` there fills, in the order of its names. */
export function hashedState(state: ReadonlyMap<string, Shaped>, seed: number) {
  const filled = [...state].map(([name, { shape }], stream) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const isNorm = state.has(name.replace(/[^.]+$/, 'running_mean'));
    const spread = name.endsWith('running_var') || (isNorm && name.endsWith('.weight'));
    const bound = Math.sqrt((6 * shape[0]) / count);
    const value = (u: number) => (spread ? 0.5 + u : shape.length === 1 ? 0.4 * u - 0.2 : (2 * u - 1) * bound);
    return [name, { shape, data: Float32Array.from(hashed(count, stream, seed), value) }] as const;
  });
  return new Map(filled);
}

/** The images of `depths` there, [N, 3, size, size]: bytes over 255, blocks of colour with some noise. */
export function hashedImages(count: number, size: number, seed: number): Ref {
  const [fine, coarse] = [hashed(count * 3 * size * size, 1000, seed), hashed(count * 3 * 16, 1001, seed)];
  const value = (u: number, i: number) => {
    const [plane, row, column] = [Math.floor(i / size ** 2), Math.floor(i / size) % size, i % size];
    const block = plane * 16 + 4 * Math.floor((4 * row) / size) + Math.floor((4 * column) / size);
    return Math.fround(Math.round((0.8 * coarse[block] + 0.2 * u) * 255) / 255);
  };
  return ref([count, 3, size, size], fine.map(value));
}
