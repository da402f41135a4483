/**
 * The safetensors format, read strictly and written deterministically. Works on bytes alone, so it runs in browsers too;
 * `files.ts` has `readSafetensors` and `writeSafetensors` for files.
 *
 * Layout: a little-endian u64 header length, a JSON header `{ name: { dtype, shape, data_offsets: [begin, end] } }` with offsets from
 * the end of the header, then the values, little-endian, row-major, without gaps. `__metadata__` maps strings to strings.
 */
import { FileError } from '../errors.ts';

/** The array that holds each dtype's bits. Types JavaScript cannot compute with (F16, BF16) keep their raw 16 bits. */
export const arrays = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U64: BigUint64Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

export type StoredDType = keyof typeof arrays;

/** A tensor as a file holds it: `data` has as many elements as the product of `shape` (row-major). */
export interface StoredTensor {
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly data:
    | Float64Array
    | Float32Array
    | BigInt64Array
    | BigUint64Array
    | Int32Array
    | Uint32Array
    | Int16Array
    | Uint16Array
    | Int8Array
    | Uint8Array;
}

export interface Safetensors {
  readonly tensors: Map<string, StoredTensor>;
  readonly metadata: Record<string, string>;
}

interface Entry {
  name: string;
  dtype: StoredDType;
  shape: number[];
  begin: number;
  end: number;
}

/** The reference implementation's own bound: a longer header is taken for garbage. */
const maxHeader = 100_000_000;

/**
 * The tensors and metadata of a safetensors file given as bytes. Tensor data are views of `bytes` where their alignment allows.
 * @param source what error messages call the file, usually its path
 * @throws FileError naming the file (and the tensor) for anything the format does not allow
 */
export function parseSafetensors(bytes: Uint8Array, source: string): Safetensors {
  const fail = (what: string): never => {
    throw new FileError(`${source}: ${what}`);
  };
  if (bytes.length < 8) fail(`is not a safetensors file (${bytes.length} bytes, shorter than its smallest header)`);
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(0, true);
  if (length > BigInt(maxHeader) || length < 2n) fail('is not a safetensors file (its first 8 bytes are no header length)');
  const start = 8 + Number(length);
  if (bytes[8] !== 0x7b) fail('is not a safetensors file (its header does not begin with {)');
  if (start > bytes.length)
    fail(`is truncated: its header claims ${length} bytes, the file has ${bytes.length - 8} after its length`);

  const header = parseHeader(bytes.subarray(8, start), fail);
  const metadata = readMetadata(header.get('__metadata__'), fail);
  header.delete('__metadata__');
  const entries = [...header].map(([name, value]) => readEntry(name, value, fail));
  checkLayout(entries, bytes.length - start, fail);

  const tensors = new Map<string, StoredTensor>();
  for (const { name, dtype, shape, begin, end } of entries) {
    tensors.set(name, { dtype, shape, data: view(bytes, dtype, start + begin, start + end) });
  }
  return { tensors, metadata };
}

type Fail = (what: string) => never;

function parseHeader(bytes: Uint8Array, fail: Fail): Map<string, unknown> {
  let text = '';
  let parsed: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    parsed = JSON.parse(text);
  } catch (error) {
    fail(`its header is not valid JSON (${(error as Error).message})`);
  }
  const seen = new Set<string>();
  for (const name of topLevelKeys(text)) {
    if (seen.has(name)) fail(`its header names '${name}' twice`);
    seen.add(name);
  }
  return new Map(Object.entries(parsed as object));
}

/** The keys of a JSON object's outermost level in order, repeated ones included (JSON.parse would keep only the last). */
function* topLevelKeys(json: string): Generator<string> {
  let depth = 0;
  let last = '';
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:]/g)) {
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') depth--;
    else if (token === ':' && depth === 1) yield JSON.parse(last);
    else last = token;
  }
}

function readMetadata(value: unknown, fail: Fail): Record<string, string> {
  if (value === undefined) return {};
  if (!isRecord(value)) return fail('its __metadata__ is not an object');
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') fail(`its metadata '${key}' is not a string`);
  }
  return value as Record<string, string>;
}

function readEntry(name: string, value: unknown, fail: Fail): Entry {
  if (!isRecord(value)) return fail(`tensor '${name}': its header entry is not an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(arrays, dtype)) {
    return fail(`tensor '${name}': dtype ${JSON.stringify(dtype)} is not supported`);
  }
  if (!isCounts(shape)) return fail(`tensor '${name}': its shape is not a list of whole numbers`);
  if (!isCounts(offsets) || offsets.length !== 2) return fail(`tensor '${name}': its data_offsets are not two whole numbers`);
  const [begin, end] = offsets;
  const expected = elements(shape) * bytesOf(dtype as StoredDType);
  if (end - begin !== expected) {
    fail(`tensor '${name}': its offsets span ${end - begin} bytes, but ${dtype} [${shape}] takes ${expected}`);
  }
  return { name, dtype: dtype as StoredDType, shape, begin, end };
}

/** Tensors must cover the data exactly: in order of their offsets, each begins where the one before ended. */
function checkLayout(entries: readonly Entry[], available: number, fail: Fail): void {
  let position = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < position) fail(`tensor '${name}': its bytes overlap those of another tensor`);
    if (begin > position) fail(`tensor '${name}': ${begin - position} bytes before it belong to no tensor`);
    if (end > available) fail(`is truncated: tensor '${name}' ends at byte ${end} of the data, the file has ${available}`);
    position = end;
  }
  if (position < available) fail(`${available - position} bytes at its end belong to no tensor`);
}

/** A typed array of the bytes [begin, end): a view where the address is aligned, else a copy. */
function view(bytes: Uint8Array, dtype: StoredDType, begin: number, end: number): StoredTensor['data'] {
  const size = bytesOf(dtype);
  const aligned = (bytes.byteOffset + begin) % size === 0;
  const part = aligned ? bytes.subarray(begin, end) : new Uint8Array(bytes.subarray(begin, end)); // Buffer.slice would not copy
  return new arrays[dtype](part.buffer as ArrayBuffer, part.byteOffset, part.byteLength / size);
}

/**
 * The bytes of a safetensors file. The same content gives the same bits whatever the insertion order: wider dtypes first (so that
 * every tensor is aligned), then by name; metadata by key; the header padded with spaces to a multiple of 8.
 * @throws RangeError for a tensor whose data do not fit its dtype and shape
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const ordered = [...tensors].sort(
    ([a, x], [b, y]) => bytesOf(y.dtype) - bytesOf(x.dtype) || (a < b ? -1 : 1), // names are distinct
  );
  const header: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) {
    header.push(['__metadata__', Object.fromEntries(Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1)))]);
  }
  let position = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    if (name === '__metadata__') throw new RangeError("a tensor cannot be named '__metadata__'");
    if (!(data instanceof arrays[dtype]))
      throw new RangeError(`tensor '${name}': a ${data.constructor.name} cannot hold ${dtype}`);
    if (data.length !== elements(shape)) throw new RangeError(`tensor '${name}': ${data.length} values for shape [${shape}]`);
    header.push([name, { dtype, shape, data_offsets: [position, (position += data.byteLength)] }]);
  }
  // Written entry by entry, because an object would move names that look like integers to its front.
  const json = `{${header.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
  const text = new TextEncoder().encode(json);
  const start = 8 + Math.ceil(text.length / 8) * 8;
  const out = new Uint8Array(start + position);
  new DataView(out.buffer).setBigUint64(0, BigInt(start - 8), true);
  out.fill(0x20, 8, start);
  out.set(text, 8);
  let at = start;
  for (const [, { data }] of ordered) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return out;
}

/**
 * A tensor's values as float32: floating types are converted with IEEE rounding, integers and booleans by value. F32 data are
 * returned as they are, not copied.
 */
export function toFloat32({ dtype, data }: StoredTensor): Float32Array {
  if (data instanceof Float32Array) return data;
  if (dtype === 'BF16') return new Float32Array(Uint32Array.from(data as Uint16Array, bits => bits << 16).buffer);
  if (dtype === 'F16') return Float32Array.from(data as Uint16Array, float16);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const out = new Float32Array(data.length);
    for (let i = 0; i < out.length; i++) out[i] = Number(data[i]);
    return out;
  }
  return Float32Array.from(data as Float64Array);
}

/** The value of an IEEE binary16: 1 sign, 5 exponent, 10 fraction bits. */
function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function bytesOf(dtype: StoredDType): number {
  return arrays[dtype].BYTES_PER_ELEMENT;
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(n => Number.isSafeInteger(n) && n >= 0);
}
