/**
 * A state_dict as `torch.save` writes it, which `torch.load` of PyTorch 1.6 and later reads: a zip archive of a pickle (protocol 2) that describes the tensors, and of
 * their values, uncompressed. The same tensors give the same bytes.
 */
import { type Zippable, zipSync } from 'fflate';
import type { StoredDType, StoredTensor } from './safetensors.ts';

const storageClasses: Partial<Record<StoredDType, string>> = { F32: 'FloatStorage', F64: 'DoubleStorage', I64: 'LongStorage' };

/** Archive members lie under a folder; its name means nothing. */
const folder = 'archive';
/** Where PyTorch wants values to begin in the file, so that it can map them into memory. */
const alignment = 64;

/**
 * The bytes of a `.pth` file.
 * @param tensors of dtype F32, F64 or I64, in the order that the state_dict gets @throws RangeError for another dtype
 */
export function encodePth(tensors: ReadonlyMap<string, StoredTensor>): Uint8Array {
  const members: [name: string, data: Uint8Array][] = [['data.pkl', describe(tensors)]];
  [...tensors.values()].forEach(({ data }, i) => {
    members.push([`data/${i}`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]);
  });
  members.push(['version', new TextEncoder().encode('3\n')]);

  const archive: Zippable = {};
  let at = 0;
  for (const [name, data] of members) {
    const path = `${folder}/${name}`;
    // a local header is 30 bytes and the name; the extra field of id 'FB', as PyTorch calls it, fills up to the next boundary
    const header = at + 30 + path.length + 4;
    const padding = (alignment - (header % alignment)) % alignment;
    archive[path] = [data, { level: 0, mtime: '1980-01-01T00:00:00', extra: { 16966: new Uint8Array(padding) } }];
    at = header + padding + data.length;
  }
  return zipSync(archive);
}

/** The pickle of an OrderedDict of tensors; tensor i is all of storage i. */
function describe(tensors: ReadonlyMap<string, StoredTensor>): Uint8Array {
  const out = new PickleWriter();
  out.protocol().emptyOrderedDict().mark();
  [...tensors].forEach(([name, { dtype, shape, data }], i) => {
    const storage = storageClasses[dtype];
    if (!storage) throw new RangeError(`tensor '${name}': ${dtype} cannot be written to a .pth file`);
    out.text(name).global('torch._utils', '_rebuild_tensor_v2').mark();
    out.mark().text('storage').global('torch', storage).text(String(i)).text('cpu').int(data.length).tuple().persistentId();
    out.int(0).counts(shape).counts(rowMajorStrides(shape)).no().emptyOrderedDict();
    out.tuple().call();
  });
  return out.setItems().end();
}

/** Elements from one index to the next of each dimension. */
function rowMajorStrides(shape: readonly number[]): number[] {
  return shape.map((_, d) => shape.slice(d + 1).reduce((n, s) => n * s, 1));
}

/** Opcodes of pickle protocol 2 (CPython's Lib/pickletools.py), one method each. */
class PickleWriter {
  private readonly parts: Uint8Array[] = [];

  private op(code: string, argument: Uint8Array = new Uint8Array()): this {
    this.parts.push(Uint8Array.of(code.charCodeAt(0)), argument);
    return this;
  }

  private uint32(n: number): Uint8Array {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, n, true);
    return bytes;
  }

  protocol = () => this.op('\x80', Uint8Array.of(2));
  mark = () => this.op('(');
  tuple = () => this.op('t');
  call = () => this.op('R');
  persistentId = () => this.op('Q');
  setItems = () => this.op('u');
  no = () => this.op('\x89');
  /** A whole number below 2^31. */
  int = (n: number) => this.op('J', this.uint32(n));
  counts = (values: readonly number[]) => values.reduce((out: this, n) => out.int(n), this.mark()).tuple();
  global = (module: string, name: string) => this.op('c', new TextEncoder().encode(`${module}\n${name}\n`));
  emptyOrderedDict = () => this.global('collections', 'OrderedDict').op(')').call();

  text(value: string): this {
    const bytes = new TextEncoder().encode(value);
    return this.op('X', Uint8Array.of(...this.uint32(bytes.length), ...bytes));
  }

  /** Everything written. */
  end(): Uint8Array {
    this.op('.');
    const out = new Uint8Array(this.parts.reduce((n, part) => n + part.length, 0));
    let at = 0;
    for (const part of this.parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}
