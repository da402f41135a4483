/**
 * Pickles of plain data and NumPy arrays of bytes, which CIFAR's Python layout consists of. Exactly four names are known: NumPy's array constructor (under its old and
 * its new module path), `ndarray`, `dtype`, and `_codecs.encode`, which is how Python 3 writes bytes in protocol 2. The array state is that of `numpy.ndarray.__reduce__`.
 */
import { type Dialect, type Fail, latin1, type Pickled, PickledObject, Unpickler } from './pickle.ts';

/** A NumPy array of dtype uint8 in row-major order. */
export class ByteArray extends PickledObject {
  shape: number[] = [];
  data: Uint8Array = new Uint8Array();
}

/** What stands for NumPy's `dtype('u1')`. Its BUILD state (byte order and the like) says nothing more about single bytes. */
class ByteType extends PickledObject {}

/** A name that may be called or be an argument. */
class Name extends PickledObject {
  readonly name: string;
  constructor(name: string) {
    super();
    this.name = name;
  }
}

const NAMES: Record<string, string> = {
  'numpy.core.multiarray _reconstruct': 'reconstruct',
  'numpy._core.multiarray _reconstruct': 'reconstruct',
  'numpy ndarray': 'ndarray',
  'numpy dtype': 'dtype',
  '_codecs encode': 'encode',
};

const byteArrays: Dialect = {
  expected: 'a pickle of plain data and uint8 arrays',

  name(module, name, fail) {
    const known = NAMES[`${module} ${name}`];
    return known === undefined ? fail(`the name ${module}.${name}`) : new Name(known);
  },

  call(callee, args, fail) {
    const name = callee instanceof Name ? callee.name : '';
    if (name === 'reconstruct' && args[0] instanceof Name && args[0].name === 'ndarray') return new ByteArray();
    if (name === 'dtype') return latin1(args[0]) === 'u1' ? new ByteType() : fail(`an array of type ${latin1(args[0])}`);
    const [text, encoding] = args;
    if (name === 'encode' && typeof text === 'string' && latin1(encoding) === 'latin1') return Buffer.from(text, 'latin1');
    return fail('a call that is not an array constructor');
  },

  build(object, state, fail: Fail) {
    if (object instanceof ByteType) return;
    if (!(object instanceof ByteArray) || !Array.isArray(state)) fail('state for what is not an array');
    const [, shape, type, columnMajor, data] = state;
    if (!Array.isArray(shape) || !shape.every(n => typeof n === 'number' && n >= 0)) fail('an array without a shape');
    if (!(type instanceof ByteType)) fail('an array that is not of uint8');
    if (!(data instanceof Uint8Array)) fail('an array without bytes');
    object.shape = shape as number[];
    const size = object.shape.reduce((a, b) => a * b, 1);
    if (data.length !== size) fail(`an array of shape [${shape}] with ${data.length} bytes`);
    object.data = columnMajor ? rowMajor(data, object.shape, fail) : data;
  },
};

/**
 * Reads one pickle.
 * @param bytes the whole file; arrays and byte strings of the result are views into it
 * @param file its name, for messages
 * @throws FileError if it is truncated, not a pickle, or holds more than plain data
 */
export function unpickle(bytes: Uint8Array, file: string): Pickled {
  return new Unpickler(bytes, file, byteArrays).run();
}

/** A column-major matrix's bytes in row-major order. */
function rowMajor(data: Uint8Array, shape: number[], fail: Fail): Uint8Array {
  if (shape.length !== 2) fail(`a column-major array of ${shape.length} dimensions`);
  const [height, width] = shape;
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) out[y * width + x] = data[x * height + y];
  return out;
}
