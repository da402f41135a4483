/**
 * Writes the pickles that CIFAR's Python layout consists of, opcode by opcode: as Python 2 wrote the published files (protocol 2, byte
 * strings) and as Python 3 writes the same dictionary anew (protocol 4).
 */

type Item = number | string | Uint8Array | Item[] | Raw;

/** Bytes of pickle code that leave one object on the stack. */
export class Raw {
  readonly code: Buffer;
  constructor(code: Buffer) {
    this.code = code;
  }
}

export interface ArrayStyle {
  /** `numpy.core` before NumPy 2, `numpy._core` since. */
  module?: 'numpy.core' | 'numpy._core';
  columnMajor?: boolean;
  type?: string;
}

const ascii = (text: string) => Buffer.from(text, 'latin1');
const uint32 = (n: number) => {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(n);
  return b;
};

/** A dictionary as Python 2's cPickle wrote it. */
export function pickle2(entries: Record<string, Item>): Buffer {
  const parts: Buffer[] = [ascii('\x80\x02}q\x01(')];
  for (const [key, value] of Object.entries(entries)) parts.push(string2(key), item2(value));
  return Buffer.concat([...parts, ascii('u.')]);
}

function string2(text: string | Uint8Array): Buffer {
  const bytes = Buffer.from(typeof text === 'string' ? ascii(text) : text);
  const head = bytes.length < 256 ? Buffer.from([0x55, bytes.length]) : Buffer.concat([ascii('T'), uint32(bytes.length)]);
  return Buffer.concat([head, bytes]);
}

function int(n: number): Buffer {
  if (n >= 0 && n < 256) return Buffer.from([0x4b, n]);
  if (n >= 0 && n < 65536) return Buffer.from([0x4d, n & 255, n >> 8]);
  return Buffer.concat([ascii('J'), uint32(n >>> 0)]);
}

function item2(value: Item): Buffer {
  if (value instanceof Raw) return value.code;
  if (typeof value === 'number') return int(value);
  if (Array.isArray(value)) return Buffer.concat([ascii(']('), ...value.map(item2), ascii('e')]);
  return string2(value);
}

/** A NumPy array of bytes, protocol 2. */
export function array2(shape: number[], data: Uint8Array, style: ArrayStyle = {}): Raw {
  const { module = 'numpy.core', columnMajor = false, type = 'u1' } = style;
  return new Raw(
    Buffer.concat([
      ascii(`c${module}.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09(K\x01`),
      ascii('('),
      ...shape.map(int),
      ascii('t'),
      ascii('cnumpy\ndtype\nq\x0a'),
      string2(type),
      ascii('K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb'),
      ascii(columnMajor ? '\x88' : '\x89'),
      string2(data),
      ascii('tb'),
    ]),
  );
}

/** A dictionary with text keys, a list of labels and an array, as Python 3 writes it with protocol 4. */
export function pickle4(labelKey: string, labels: number[], shape: number[], data: Uint8Array): Buffer {
  const text = (s: string) => Buffer.concat([Buffer.from([0x8c, s.length]), ascii(s), ascii('\x94')]);
  const bytes = (b: Uint8Array) => Buffer.concat([ascii('B'), uint32(b.length), b, ascii('\x94')]);
  const body = Buffer.concat([
    ascii('}\x94('),
    text(labelKey),
    ascii(']\x94('),
    ...labels.map(int),
    ascii('e'),
    text('data'),
    text('numpy._core.multiarray'),
    text('_reconstruct'),
    ascii('\x93\x94'),
    text('numpy'),
    text('ndarray'),
    ascii('\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01'),
    ...shape.map(int),
    ascii(['', '\x85', '\x86', '\x87'][shape.length]),
    ascii('\x94h\x07'), // the text 'numpy', the eighth thing remembered
    text('dtype'),
    ascii('\x93\x94'),
    text('u1'),
    ascii('\x89\x88\x87\x94R\x94(K\x03'),
    text('|'),
    ascii('NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b\x89'),
    bytes(data),
    ascii('t\x94bu.'),
  ]);
  const frame = Buffer.alloc(8);
  frame.writeBigUInt64LE(BigInt(body.length));
  return Buffer.concat([ascii('\x80\x04\x95'), frame, body]);
}
