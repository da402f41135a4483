/**
 * A reader of Python's pickles that runs nothing: the opcodes that protocols 2 to 4 use for plain data, and for objects a `Dialect`, which says what names and calls
 * stand for. Any other opcode or name is an error. The opcodes are those of CPython's Lib/pickletools.py.
 */
import { FileError } from '../errors.ts';

/** Something that is no plain data. A dialect has classes of its own for what it builds. */
export abstract class PickledObject {}

/**
 * Byte strings stay bytes (`latin1` decodes them); tuples are lists; dictionary keys, text, bytes or numbers, become strings, and
 * entries with other keys are left out.
 */
export type Pickled = null | boolean | number | string | Uint8Array | Pickled[] | Map<string, Pickled> | PickledObject;

/** What a pickle's names and calls mean. Each function may `fail`, which ends reading. */
export interface Dialect {
  /** How messages call what is expected. */
  readonly expected: string;
  /** What a name stands for. */
  name(module: string, name: string, fail: Fail): Pickled;
  /** What calling a named thing gives. */
  call(callee: Pickled, args: Pickled[], fail: Fail): Pickled;
  /** Gives an object its state. */
  build(object: Pickled, state: Pickled, fail: Fail): void;
  /** Gives an object, such as one of a subclass of dict or list, its items. */
  extend?(object: PickledObject, fail: Fail): void;
  /** What lies outside of the pickle under this id. */
  persistent?(id: Pickled, fail: Fail): Pickled;
}

export type Fail = (what: string) => never;

/** A byte string or text as text, each byte one character. Anything else is `undefined`. */
export function latin1(value: Pickled | undefined): string | undefined {
  return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : typeof value === 'string' ? value : undefined;
}

/** Reads pickles that follow one another in `bytes`. */
export class Unpickler {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly file: string;
  private readonly dialect: Dialect;
  /** Where the next pickle begins. */
  at: number;
  private stack: Pickled[] = [];
  /** The stacks below each open MARK. */
  private readonly marks: Pickled[][] = [];
  private memo = new Map<number, Pickled>();

  /** @param bytes byte strings of the results are views into them @param file what messages call them */
  constructor(bytes: Uint8Array, file: string, dialect: Dialect, at = 0) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.file = file;
    this.dialect = dialect;
    this.at = at;
  }

  /** Reads one pickle. @throws FileError if it is truncated, not a pickle, or holds more than plain data and what the dialect knows */
  run(): Pickled {
    this.memo = new Map();
    if (this.bytes[this.at] !== 0x80) throw new FileError(`${this.file}: not a pickle of protocol 2 to 4`);
    for (;;) {
      const op = this.bytes[this.take(1)];
      if (op === 0x2e /* STOP */) return this.pop();
      this.step(op);
    }
  }

  private readonly fail: Fail = what => {
    throw new FileError(`${this.file}: ${what} (byte ${this.at}); expected ${this.dialect.expected}`);
  };

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
      case 0x47: // BINFLOAT
        stack.push(this.view.getFloat64(this.take(8)));
        return;
      case 0x8a: // LONG1
        stack.push(this.long(this.uint8()));
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
      case 0x8f: // EMPTY_SET
        stack.push(this.builtin('set', []));
        return;
      case 0x90: // ADDITEMS
        this.popMark();
        this.extend(this.top(), 'a set');
        return;
      case 0x91: {
        const items = this.popMark(); // FROZENSET
        this.stack.push(this.builtin('frozenset', [items]));
        return;
      }
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
        stack.push(this.dialect.name(this.line(), this.line(), this.fail));
        return;
      case 0x93: {
        const [module, name] = this.popMany(2).map(latin1); // STACK_GLOBAL
        if (module === undefined || name === undefined) this.fail('a name that is not text');
        stack.push(this.dialect.name(module, name, this.fail));
        return;
      }
      case 0x51: {
        const id = this.pop(); // BINPERSID
        stack.push(this.dialect.persistent?.(id, this.fail) ?? this.fail('a reference to something outside of it'));
        return;
      }
      case 0x52: // REDUCE
      case 0x81: {
        const [callee, args] = this.popMany(2); // NEWOBJ
        if (!Array.isArray(args)) this.fail('a call without arguments');
        stack.push(this.dialect.call(callee, args, this.fail));
        return;
      }
      case 0x62: {
        const state = this.pop(); // BUILD
        this.dialect.build(this.top(), state, this.fail);
        return;
      }
      default:
        this.fail(`opcode 0x${op.toString(16).padStart(2, '0')}`);
    }
  }

  /** A whole number of n bytes, two's complement. */
  private long(n: number): number {
    const value = this.block(n).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    return Number(BigInt.asIntN(8 * n, value));
  }

  private builtin(name: string, args: Pickled[]): Pickled {
    return this.dialect.call(this.dialect.name('builtins', name, this.fail), args, this.fail);
  }

  private append(items: Pickled[]): void {
    const list = this.top();
    if (Array.isArray(list)) for (const item of items) list.push(item);
    else this.extend(list, 'a list');
  }

  private setItems(items: Pickled[]): void {
    const map = this.top();
    if (items.length % 2 !== 0) this.fail('a key without a value');
    if (!(map instanceof Map)) this.extend(map, 'a dictionary');
    else
      for (let i = 0; i < items.length; i += 2) {
        const key = typeof items[i] === 'number' ? String(items[i]) : latin1(items[i]);
        if (key !== undefined) map.set(key, items[i + 1]);
      }
  }

  /** @param wanted what the items are for, were it not for subclasses */
  private extend(object: Pickled, wanted: string): void {
    if (object instanceof PickledObject && this.dialect.extend) this.dialect.extend(object, this.fail);
    else this.fail(`items for what is not ${wanted}`);
  }

  private recall(key: number): Pickled {
    return this.memo.has(key) ? this.memo.get(key)! : this.fail(`nothing remembered as ${key}`);
  }
}
