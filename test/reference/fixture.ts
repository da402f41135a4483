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
