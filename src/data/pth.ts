/**
 * State_dicts in PyTorch's own files: the zip archive that `torch.save` writes since 1.6, and the stream of pickles before that, which the reference implementation's
 * PyTorch wrote. Nothing of a file is run: of what else a checkpoint holds (optimiser, schedule, results) only the shape is read, and it is left out.
 */
import { unzipSync } from 'fflate';
import { FileError } from '../errors.ts';
import { type Dialect, type Fail, type Pickled, PickledObject, Unpickler } from './pickle.ts';
import { arrays, type StoredDType, type StoredTensor } from './safetensors.ts';

/** PyTorch's storage classes; each is a run of values of one type. */
const dtypes: Readonly<Record<string, StoredDType>> = {
  FloatStorage: 'F32',
  DoubleStorage: 'F64',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};
/** Any object that is of no use here: what it is called and given is forgotten. */
class Other extends PickledObject {
  readonly name: string;
  constructor(name: string) {
    super();
    this.name = name;
  }
}

/** A run of values that tensors are views of. */
class StorageRef extends PickledObject {
  readonly key: string;
  readonly dtype: StoredDType;
  readonly length: number;
  constructor(key: string, dtype: StoredDType, length: number) {
    super();
    this.key = key;
    this.dtype = dtype;
    this.length = length;
  }
}

/** A view of a storage: element [i, j, ...] is its value offset + i·stride[0] + j·stride[1] + ... */
class TensorRef extends PickledObject {
  readonly storage: StorageRef;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  constructor(storage: StorageRef, offset: number, shape: readonly number[], stride: readonly number[]) {
    super();
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.stride = stride;
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isCounts = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount);

/** What `torch.save` writes: tensors by torch._utils, storages by reference; other objects are passed over. */
class TorchDialect implements Dialect {
  readonly expected = 'a file of torch.save';
  readonly storages = new Map<string, StorageRef>();

  name(module: string, name: string): Pickled {
    return new Other(`${module}.${name}`);
  }

  call(callee: Pickled, args: Pickled[], fail: Fail): Pickled {
    const name = callee instanceof Other ? callee.name : '';
    if (/^collections\.(OrderedDict|defaultdict|Counter)$/.test(name)) return new Map();
    if (name === 'torch._utils._rebuild_parameter') return args[0];
    if (name !== 'torch._utils._rebuild_tensor_v2') return new Other(name);
    const [storage, offset, shape, stride] = args;
    if (
      !(storage instanceof StorageRef) ||
      !isCount(offset) ||
      !isCounts(shape) ||
      !isCounts(stride) ||
      shape.length !== stride.length
    )
      return fail('a tensor that is not described as PyTorch does');
    const last = shape.reduce((at, n, d) => at + (n - 1) * stride[d], offset);
    const size = shape.reduce((n, s) => n * s, 1);
    if (size > 0 && (last >= storage.length || size > storage.length))
      return fail(`a tensor of shape [${shape}] that reaches beyond its ${storage.length} values`);
    return new TensorRef(storage, offset, shape, stride);
  }

  build(): void {} // the state of dictionaries and other objects is not needed

  extend(object: PickledObject, fail: Fail): void {
    if (!(object instanceof Other)) fail('items for a tensor'); // those of other objects are not needed either
  }

  persistent(id: Pickled, fail: Fail): Pickled {
    const [kind, type, key, , length, view] = Array.isArray(id) ? id : [];
    const dtype = type instanceof Other ? dtypes[type.name.replace(/^torch\./, '')] : undefined;
    if (kind !== 'storage' || typeof key !== 'string' || !isCount(length) || !(type instanceof Other))
      return fail('a reference to something that is no storage');
    if (!dtype) return fail(`values of type ${type.name}`);
    if (view) return fail('a storage that is a view of another; save the file again with a newer PyTorch');
    const found = this.storages.get(key) ?? new StorageRef(key, dtype, length);
    this.storages.set(key, found);
    return found;
  }
}

/** How the stream begins that PyTorch wrote before 1.6: a pickle of its magic number. */
const legacyStart = Uint8Array.of(0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e);
const startsWith = (bytes: Uint8Array, start: readonly number[] | Uint8Array) => start.every((byte, i) => bytes[i] === byte);
const isZip = (bytes: Uint8Array) => startsWith(bytes, [0x50, 0x4b, 0x03, 0x04]);

/** Whether bytes are a file of `torch.save`, by how they begin. */
export function isPth(bytes: Uint8Array): boolean {
  return isZip(bytes) || startsWith(bytes, legacyStart);
}

/**
 * The state_dict in a file of `torch.save`: the file's own, or the one that a checkpoint holds as `state_dict` (or under another of the field's names). Where every name
 * begins with `module.`, as those of DataParallel do, that is left out.
 * @param source what messages call the file @throws FileError if it is damaged or holds no state_dict
 */
export function parsePth(bytes: Uint8Array, source: string): Map<string, StoredTensor> {
  const { root, values } = isZip(bytes) ? fromZip(bytes, source) : fromStream(bytes, source);
  const found = stateDictOf(root);
  if (!found) throw new FileError(`${source}: holds no state_dict; in PyTorch, torch.save(model.state_dict(), ...) writes one`);
  const entries = [...found];
  const wrapped = entries.every(([name]) => name.startsWith('module.'));
  return new Map(
    entries.map(([name, value]) => {
      if (!(value instanceof TensorRef)) throw new FileError(`${source}: '${name}' of its state_dict is not a tensor`);
      return [wrapped ? name.slice('module.'.length) : name, gather(value, values(value.storage))];
    }),
  );
}

function stateDictOf(root: Pickled): Map<string, Pickled> | undefined {
  const holdsTensors = (value: Pickled | undefined) =>
    value instanceof Map && [...value.values()].some(v => v instanceof TensorRef) ? value : undefined;
  if (!(root instanceof Map)) return undefined;
  const inside = ['state_dict', 'model_state_dict', 'model', 'net'].map(name => holdsTensors(root.get(name)));
  return inside.find(Boolean) ?? holdsTensors(root);
}

interface Saved {
  readonly root: Pickled;
  /** The bytes of a storage. */
  values(storage: StorageRef): Uint8Array;
}

/** How the records of a zip archive begin that say where its members are (APPNOTE.TXT, sections 4.3.12 to 4.3.16). */
const member = 0x02014b50;
const wideEnd = 0x06064b50;
const wideEndLocator = 0x07064b50;
const directoryEnd = 0x06054b50;

/**
 * Walks the directory of a zip archive before `unzipSync` does, which goes through all the members that a damaged count names, four billion at
 * most. PyTorch's archives have that count in the record of large archives. @throws RangeError where the directory leads out of the file
 */
function assertDirectory(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - 22;
  while (view.getUint32(end, true) !== directoryEnd) end--;
  let members = view.getUint16(end + 8, true);
  let at = view.getUint32(end + 16, true);
  if (view.getUint32(end - 20, true) === wideEndLocator) {
    const record = view.getUint32(end - 12, true);
    if (view.getUint32(record, true) === wideEnd)
      [members, at] = [view.getUint32(record + 32, true), view.getUint32(record + 48, true)];
  }
  for (; members > 0; members--) {
    if (view.getUint32(at, true) !== member) throw new RangeError('no member where the directory has one');
    const [name, extra, comment] = [28, 30, 32].map(offset => view.getUint16(at + offset, true));
    at += 46 + name + extra + comment;
  }
}

/** An archive: NAME/data.pkl, and the values of storage K in NAME/data/K. */
function fromZip(bytes: Uint8Array, source: string): Saved {
  let files: Record<string, Uint8Array>;
  try {
    assertDirectory(bytes);
    files = unzipSync(bytes);
  } catch {
    throw new FileError(`${source}: is not a whole zip archive: it is cut off or damaged; get the file again`);
  }
  const main = Object.keys(files).find(name => /^[^/]*\/data\.pkl$/.test(name));
  if (!main) throw new FileError(`${source}: is a zip archive, but not one of torch.save (no data.pkl)`);
  const folder = main.slice(0, -'data.pkl'.length);
  const order = files[`${folder}byteorder`];
  if (order && new TextDecoder().decode(order) !== 'little') throw new FileError(`${source}: its values are not little-endian`);
  const values = ({ key, dtype, length }: StorageRef) => {
    const found = files[`${folder}data/${key}`];
    const size = length * arrays[dtype].BYTES_PER_ELEMENT;
    if (found?.length !== size) throw new FileError(`${source}: data/${key} has ${found?.length ?? 0} bytes instead of ${size}`);
    return found;
  };
  return { root: new Unpickler(files[main], source, new TorchDialect()).run(), values };
}

/** Pickles of the magic number, the protocol, the machine, the object and the order of storages; then of each storage its length (u64) and its values. */
function fromStream(bytes: Uint8Array, source: string): Saved {
  const dialect = new TorchDialect();
  const reader = new Unpickler(bytes, source, dialect);
  const [, , , root, keys] = Array.from({ length: 5 }, () => reader.run());
  const places = new Map<string, Uint8Array>();
  let at = reader.at;
  for (const key of Array.isArray(keys) ? keys : []) {
    const storage = dialect.storages.get(String(key));
    if (!storage) throw new FileError(`${source}: has values of a storage '${key}' that nothing names`);
    const start = at + 8;
    at = start + storage.length * arrays[storage.dtype].BYTES_PER_ELEMENT;
    if (at > bytes.length)
      throw new FileError(`${source}: is truncated: ${at} bytes are wanted so far, the file has ${bytes.length}`);
    places.set(storage.key, bytes.subarray(start, at));
  }
  const values = ({ key }: StorageRef) => {
    const found = places.get(key);
    if (!found) throw new FileError(`${source}: has no values of storage '${key}'`);
    return found;
  };
  return { root, values };
}

/** A tensor's own values, row-major. */
function gather({ storage, offset, shape, stride }: TensorRef, bytes: Uint8Array): StoredTensor {
  const { dtype, length } = storage;
  const all = new arrays[dtype](new Uint8Array(bytes).buffer, 0, length); // a copy, since views of wider types must be aligned
  const size = shape.reduce((n, s) => n * s, 1);
  const data = new arrays[dtype](size);
  const index = shape.map(() => 0);
  for (let i = 0, at = offset; i < size; i++) {
    data[i] = all[at];
    for (let d = shape.length - 1; d >= 0; d--) {
      at += stride[d];
      if (++index[d] < shape[d]) break;
      at -= stride[d] * shape[d];
      index[d] = 0;
    }
  }
  return { dtype, shape, data };
}
