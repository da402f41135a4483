/**
 * A reader for the pickles of data sets: numbers, strings, lists, tuples, dictionaries and arrays of bytes, and nothing else.
 *
 * A pickle is a program for a stack machine that may call any function by name. This reader knows the opcodes that protocols 2 to 4
 * use for plain data, and exactly four names: NumPy's array constructor (under its old and its new module path), `ndarray`, `dtype`
 * and `_codecs.encode`, which is how Python 3 writes bytes in protocol 2. Any other opcode or name is an error, so reading a file
 * from the network runs nothing. The opcodes are those of CPython's Lib/pickletools.py, the array state that of
 * `numpy.ndarray.__reduce__`.
 */
import { FileError } from '../errors.ts';

/** A NumPy array of dtype uint8 in row-major order. */
export class ByteArray {
  shape: number[] = [];
  data: Uint8Array = new Uint8Array();
}

/** What stands for NumPy's `dtype('u1')`. Its BUILD state (byte order and the like) says nothing more about single bytes. */
class ByteType {}

/** A name that REDUCE may call or take as an argument. */
class Name {
  readonly name: string;
  constructor(name: string) {
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

/** Byte strings stay bytes (`latin1` decodes them); dictionary keys, text or bytes, become strings. */
export type Pickled =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | Pickled[]
  | Map<string, Pickled>
  | ByteArray
  | ByteType
  | Name;

/** A byte string or text as text, each byte one character. Anything else is `undefined`. */
export function latin1(value: Pickled | undefined): string | undefined {
  return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : typeof value === 'string' ? value : undefined;
}

/**
 * Reads one pickle.
 * @param bytes the whole file; arrays and byte strings of the result are views into it
 * @param file its name, for messages
 * @throws FileError if it is truncated, not a pickle, or holds more than plain data
 */
export function unpickle(bytes: Uint8Array, file: string): Pickled {
  return new Unpickler(bytes, file).run();
}

class Unpickler {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly file: string;
  private at = 0;
  private stack: Pickled[] = [];
  /** The stacks below each open MARK. */
  private readonly marks: Pickled[][] = [];
  private readonly memo = new Map<number, Pickled>();

  constructor(bytes: Uint8Array, file: string) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.file = file;
  }

  run(): Pickled {
    if (this.bytes[0] !== 0x80) throw new FileError(`${this.file}: not a pickle of protocol 2 to 4`);
    for (;;) {
      const op = this.bytes[this.take(1)];
      if (op === 0x2e /* STOP */) return this.pop();
      this.step(op);
    }
  }

  private fail(what: string): never {
    throw new FileError(`${this.file}: ${what} (byte ${this.at}); expected a pickle of plain data and uint8 arrays`);
  }

  /** Moves past n bytes and returns where they start. */
  private take(n: number): number {
    const start = this.at;
    if (start + n > this.bytes.length) throw new FileError(`${this.file}: truncated after ${this.bytes.length} bytes`);
    this.at += n;
    return start;
  }

  private uint8 = () => this.bytes[this.take(1)];
  private uint16 = () => this.view.getUint16(this.take(2), true);
  private uint32 = () => this.view.getUint32(this.take(4), true);

  private block(n: number): Uint8Array {
    const start = this.take(n);
    return this.bytes.subarray(start, start + n);
  }

  private utf8 = (n: number) => new TextDecoder().decode(this.block(n));

  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    const text = this.utf8((end < 0 ? this.bytes.length : end) - this.at);
    this.take(1);
    return text;
  }

  private pop(): Pickled {
    if (this.stack.length === 0) this.fail('the stack is empty');
    return this.stack.pop()!;
  }

  private popMany(n: number): Pickled[] {
    if (this.stack.length < n) this.fail('the stack is empty');
    return this.stack.splice(this.stack.length - n);
  }

  /** What was pushed since the last MARK. */
  private popMark(): Pickled[] {
    const items = this.stack;
    this.stack = this.marks.pop() ?? this.fail('no mark');
    return items;
  }

  private top(): Pickled {
    return this.stack.length > 0 ? this.stack[this.stack.length - 1] : this.fail('the stack is empty');
  }

  private step(op: number): void {
    const { stack } = this;
    switch (op) {
      case 0x80: {
        const protocol = this.uint8();
        if (protocol < 2 || protocol > 4) this.fail(`pickle protocol ${protocol}; protocols 2 to 4 are read`);
        return;
      }
      case 0x95: // FRAME: a length, of no interest when all bytes are there
        this.take(8);
        return;
      case 0x28: // MARK
        this.marks.push(stack);
        this.stack = [];
        return;
      case 0x4e: // NONE
        stack.push(null);
        return;
      case 0x88: // NEWTRUE
      case 0x89: // NEWFALSE
        stack.push(op === 0x88);
        return;
      case 0x4b: // BININT1
        stack.push(this.uint8());
        return;
      case 0x4d: // BININT2
        stack.push(this.uint16());
        return;
      case 0x4a: // BININT
        stack.push(this.view.getInt32(this.take(4), true));
        return;
      case 0x55: // SHORT_BINSTRING
      case 0x43: // SHORT_BINBYTES
        stack.push(this.block(this.uint8()));
        return;
      case 0x54: // BINSTRING
      case 0x42: // BINBYTES
        stack.push(this.block(this.uint32()));
        return;
      case 0x8c: // SHORT_BINUNICODE
        stack.push(this.utf8(this.uint8()));
        return;
      case 0x58: // BINUNICODE
        stack.push(this.utf8(this.uint32()));
        return;
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        stack.push([]);
        return;
      case 0x7d: // EMPTY_DICT
        stack.push(new Map());
        return;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        stack.push(this.popMany(op - 0x84));
        return;
      case 0x74: {
        const items = this.popMark(); // TUPLE
        this.stack.push(items);
        return;
      }
      case 0x61: // APPEND
        this.append([this.pop()]);
        return;
      case 0x65: // APPENDS
        this.append(this.popMark());
        return;
      case 0x73: // SETITEM
        this.setItems(this.popMany(2));
        return;
      case 0x75: // SETITEMS
        this.setItems(this.popMark());
        return;
      case 0x71: // BINPUT
        this.memo.set(this.uint8(), this.top());
        return;
      case 0x72: // LONG_BINPUT
        this.memo.set(this.uint32(), this.top());
        return;
      case 0x94: // MEMOIZE
        this.memo.set(this.memo.size, this.top());
        return;
      case 0x68: // BINGET
        stack.push(this.recall(this.uint8()));
        return;
      case 0x6a: // LONG_BINGET
        stack.push(this.recall(this.uint32()));
        return;
      case 0x63: // GLOBAL
        stack.push(this.named(this.line(), this.line()));
        return;
      case 0x93: {
        const [module, name] = this.popMany(2); // STACK_GLOBAL
        stack.push(this.named(latin1(module), latin1(name)));
        return;
      }
      case 0x52: {
        const [callee, args] = this.popMany(2); // REDUCE
        stack.push(this.call(callee, args));
        return;
      }
      case 0x62: {
        const state = this.pop(); // BUILD
        this.build(this.top(), state);
        return;
      }
      default:
        this.fail(`opcode 0x${op.toString(16).padStart(2, '0')}`);
    }
  }

  private append(items: Pickled[]): void {
    const list = this.top();
    if (!Array.isArray(list)) this.fail('append to what is not a list');
    for (const item of items) list.push(item);
  }

  private setItems(items: Pickled[]): void {
    const map = this.top();
    if (!(map instanceof Map) || items.length % 2 !== 0) this.fail('items for what is not a dictionary');
    for (let i = 0; i < items.length; i += 2) {
      map.set(latin1(items[i]) ?? this.fail('a dictionary key that is not a string'), items[i + 1]);
    }
  }

  private recall(key: number): Pickled {
    return this.memo.has(key) ? this.memo.get(key)! : this.fail(`nothing remembered as ${key}`);
  }

  private named(module: string | undefined, name: string | undefined): Name {
    const known = NAMES[`${module} ${name}`];
    return known === undefined ? this.fail(`the name ${module}.${name}`) : new Name(known);
  }

  private call(callee: Pickled, args: Pickled): Pickled {
    const name = callee instanceof Name ? callee.name : '';
    if (!Array.isArray(args)) this.fail('a call without arguments');
    if (name === 'reconstruct' && args[0] instanceof Name && args[0].name === 'ndarray') return new ByteArray();
    if (name === 'dtype') return latin1(args[0]) === 'u1' ? new ByteType() : this.fail(`an array of type ${latin1(args[0])}`);
    const [text, encoding] = args;
    if (name === 'encode' && typeof text === 'string' && latin1(encoding) === 'latin1') return Buffer.from(text, 'latin1');
    return this.fail('a call that is not an array constructor');
  }

  private build(object: Pickled, state: Pickled): void {
    if (object instanceof ByteType) return;
    if (!(object instanceof ByteArray) || !Array.isArray(state)) this.fail('state for what is not an array');
    const [, shape, type, columnMajor, data] = state;
    if (!Array.isArray(shape) || !shape.every(n => typeof n === 'number' && n >= 0)) this.fail('an array without a shape');
    if (!(type instanceof ByteType)) this.fail('an array that is not of uint8');
    if (!(data instanceof Uint8Array)) this.fail('an array without bytes');
    object.shape = shape as number[];
    const size = object.shape.reduce((a, b) => a * b, 1);
    if (data.length !== size) this.fail(`an array of shape [${shape}] with ${data.length} bytes`);
    object.data = columnMajor ? rowMajor(data, object.shape, msg => this.fail(msg)) : data;
  }
}

/** A column-major matrix's bytes in row-major order. */
function rowMajor(data: Uint8Array, shape: number[], fail: (what: string) => never): Uint8Array {
  if (shape.length !== 2) fail(`a column-major array of ${shape.length} dimensions`);
  const [height, width] = shape;
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) out[y * width + x] = data[x * height + y];
  return out;
}
