/**
 * MAT-files of level 5 (MathWorks, "MAT-File Format", chapter 1): a header of 128 bytes, then data elements of a tag (type, byte count) and
 * data, compressed by zlib or not. Numeric arrays are read; what else a file holds is passed over.
 */
import { inflateSync } from 'node:zlib';
import { FileError } from '../errors.ts';

/** A numeric array. `data` is in column-major order: the first index runs fastest. Integers of 64 bits become float64. */
export interface MatArray {
  readonly shape: readonly number[];
  readonly data: StoredNumbers;
}

type StoredNumbers = Exclude<InstanceType<(typeof types)[keyof typeof types]>, BigInt64Array | BigUint64Array>;

/** Types of stored numbers by their code in a tag. */
const types = {
  1: Int8Array,
  2: Uint8Array,
  3: Int16Array,
  4: Uint16Array,
  5: Int32Array,
  6: Uint32Array,
  7: Float32Array,
  9: Float64Array,
  12: BigInt64Array,
  13: BigUint64Array,
} as const;

const MATRIX = 14;
const COMPRESSED = 15;
/** Classes of arrays that hold plain numbers: mxDOUBLE_CLASS to mxUINT64_CLASS. */
const isNumeric = (arrayClass: number) => arrayClass >= 6 && arrayClass <= 15;

interface Element {
  readonly type: number;
  readonly data: Uint8Array;
}

/**
 * The numeric arrays of a MAT-file by name.
 * @param source what messages call the file @throws FileError if it is no such file or damaged
 */
export function parseMat(bytes: Uint8Array, source: string): Map<string, MatArray> {
  const fail = (what: string): never => {
    throw new FileError(`${source}: ${what}`);
  };
  const title = new TextDecoder('latin1').decode(bytes.subarray(0, 19));
  if (title.startsWith('MATLAB 7.3')) fail('is a MAT-file of version 7.3 (HDF5); save it with -v7 or -v6');
  if (bytes.length < 128 || !title.startsWith('MATLAB 5.0 MAT-file')) fail('is no MAT-file of level 5');
  if (bytes[126] !== 0x49 || bytes[127] !== 0x4d) fail('is a MAT-file of a big-endian machine, which is not supported');
  const arrays = new Map<string, MatArray>();
  for (const element of elements(bytes.subarray(128), fail)) {
    const whole = element.type === COMPRESSED ? inflate(element.data, fail) : element;
    if (whole.type !== MATRIX) continue;
    const [name, array] = readMatrix([...elements(whole.data, fail)], fail) ?? [];
    if (name !== undefined) arrays.set(name, array!);
  }
  return arrays;
}

function inflate(data: Uint8Array, fail: (what: string) => never): Element {
  let plain: Uint8Array;
  try {
    plain = inflateSync(data);
  } catch (error) {
    return fail(`is damaged: ${(error as Error).message}`);
  }
  return elements(plain, fail).next().value ?? fail('is damaged: a compressed element is empty');
}

/** The data elements in `bytes`. Four bytes or fewer may lie inside the tag, whose upper half is the byte count then. */
function* elements(bytes: Uint8Array, fail: (what: string) => never): Generator<Element, undefined> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 8 <= bytes.length; ) {
    const tag = view.getUint32(at, true);
    const small = tag >>> 16;
    const [type, size] = small ? [tag & 0xffff, small] : [tag, view.getUint32(at + 4, true)];
    const begin = at + (small ? 4 : 8);
    if (begin + size > bytes.length)
      fail(`is truncated: an element of ${size} bytes begins ${bytes.length - begin} before the end`);
    yield { type, data: bytes.subarray(begin, begin + size) };
    // a compressed element is followed at once by the next one, all others begin at multiples of 8
    at = small ? at + 8 : begin + (type === COMPRESSED ? size : Math.ceil(size / 8) * 8);
  }
}

/** Name and numbers of an array: its subelements are flags, dimensions, name, real part. Undefined where it is not numeric. */
function readMatrix([flags, dims, name, real]: Element[], fail: (what: string) => never): [string, MatArray] | undefined {
  if (!flags || !isNumeric(flags.data[0])) return undefined;
  if (!dims || !name || !real) return fail('is damaged: an array lacks a part');
  const shape = [...numbers(dims, fail)];
  const data = numbers(real, fail);
  const label = new TextDecoder('latin1').decode(name.data);
  const size = shape.reduce((a, b) => a * b, 1);
  if (data.length !== size) fail(`is damaged: array '${label}' [${shape}] holds ${data.length} values`);
  return [label, { shape, data }];
}

function numbers({ type, data }: Element, fail: (what: string) => never): StoredNumbers {
  if (!Object.hasOwn(types, type)) return fail(`holds numbers of type ${type}, which is not supported`);
  const Numbers = types[type as keyof typeof types];
  const size = Numbers.BYTES_PER_ELEMENT;
  const { buffer, byteOffset } = size === 1 ? data : new Uint8Array(data); // numbers of several bytes have to be aligned
  const stored = new Numbers(buffer as ArrayBuffer, byteOffset, Math.floor(data.length / size));
  return stored instanceof BigInt64Array || stored instanceof BigUint64Array ? Float64Array.from(stored, Number) : stored;
}
