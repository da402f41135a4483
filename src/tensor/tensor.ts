/**
 * A tensor: a shape and a type over a piece of device memory, always contiguous and row-major. Operations are functions (`add(a, b)`), in the
 * files beside this one; here are making, reading and the lifetime of tensors.
 *
 * Lifetime: a tensor made inside `scope(...)` goes back to the pool at its end unless the scope returns it. Outside of scopes it lives until
 * `dispose()`. Views (`reshape`) share memory; it goes back with the last of them.
 */
import type { Capture, Device, Storage } from '../device/index.ts';
import { fillFloat, fillInt } from '../kernels/fill.ts';

export type Dtype = 'f32' | 'i32' | 'u32';
export type Shape = readonly number[];
export type HostArray = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

const arrays = { f32: Float32Array, i32: Int32Array, u32: Uint32Array } as const;

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** An array on the device: row-major, contiguous, of 32-bit elements. It owns its memory until it is disposed or its scope ends. */
export class Tensor {
  readonly device: Device;
  readonly shape: Shape;
  readonly dtype: Dtype;
  readonly size: number;
  readonly storage: Storage;
  private disposed = false;

  /** For operations; to make one from data use `tensor`, `zeros`, ... */
  constructor(device: Device, storage: Storage, shape: Shape, dtype: Dtype) {
    this.device = device;
    this.storage = storage;
    this.shape = shape;
    this.dtype = dtype;
    this.size = sizeOf(shape);
  }

  get rank(): number {
    return this.shape.length;
  }

  get bytes(): number {
    return this.size * 4;
  }

  /** The elements, row-major, after everything dispatched before. */
  async data(): Promise<HostArray> {
    return new arrays[this.dtype](await this.read());
  }

  /** The elements as float32; integers are converted, exactly up to 2^24. */
  async floats(): Promise<Float32Array<ArrayBuffer>> {
    const data = await this.data();
    return data instanceof Float32Array ? data : Float32Array.from(data);
  }

  /** The bytes. A disposed tensor's memory may already be another's. */
  private read(): Promise<ArrayBuffer> {
    this.checkLive('read');
    return this.device.read(this.storage, this.bytes);
  }

  private checkLive(what: string): void {
    if (this.storage.freed) throw new Error(`${what} of a tensor of shape [${this.shape}] that was disposed (or left its scope)`);
  }

  /** The one element of a tensor of size 1. */
  async item(): Promise<number> {
    if (this.size !== 1) throw new Error(`item() of a tensor of shape [${this.shape}]: it has ${this.size} elements`);
    return (await this.data())[0];
  }

  /** Replaces the content from the host; views of the same memory see it too. */
  write(values: ArrayLike<number>): this {
    if (values.length !== this.size) throw new Error(`${values.length} values for a tensor of shape [${this.shape}]`);
    this.checkLive('write');
    const given = values instanceof arrays[this.dtype] ? (values as HostArray) : arrays[this.dtype].from(values);
    this.device.write(this.storage, given);
    return this;
  }

  /** The same memory under another shape; one size may be -1. */
  reshape(shape: Shape): Tensor {
    const known = sizeOf(shape.filter(s => s !== -1));
    const full = shape.map(s => (s === -1 ? this.size / known : s));
    if (sizeOf(full) !== this.size || full.some(s => !Number.isInteger(s))) {
      throw new Error(`reshape of [${this.shape}] to [${shape}]: the numbers of elements differ`);
    }
    this.device.adopt(this.storage.retain());
    return new Tensor(this.device, this.storage, full, this.dtype);
  }

  /** Takes the tensor out of its scope: it lives until `dispose()`. */
  keep(): this {
    this.device.keep(this.storage);
    return this;
  }

  /**
   * Gives the memory back, or the share in it where there are views; a second time does nothing. Using the tensor afterwards is an error: of the next
   * launch, read, write, view or replay of it.
   */
  dispose(): void {
    if (this.disposed || this.storage.freed) return;
    this.disposed = true;
    this.device.discard(this.storage);
  }
}

/** An uninitialised tensor: the output of a kernel. */
export function empty(device: Device, shape: Shape, dtype: Dtype = 'f32'): Tensor {
  return new Tensor(device, device.allocate(Math.max(1, sizeOf(shape)) * 4), [...shape], dtype);
}

/**
 * A tensor with the given elements, row-major. The shape defaults to one dimension, the type to i32 for an Int32Array, u32 for a Uint32Array and f32 for
 * all else.
 */
export function tensor(
  device: Device,
  values: ArrayLike<number>,
  shape: Shape = [values.length],
  dtype: Dtype = values instanceof Int32Array ? 'i32' : values instanceof Uint32Array ? 'u32' : 'f32',
): Tensor {
  return empty(device, shape, dtype).write(values);
}

/** Bytes on the device, four to a word, for data sets. Shape [ceil(bytes / 4)]. */
export function packedBytes(device: Device, bytes: Uint8Array<ArrayBuffer>): Tensor {
  const t = empty(device, [Math.ceil(bytes.length / 4)], 'u32');
  device.write(t.storage, bytes);
  return t;
}

/** A tensor whose elements are all `value`. */
export function full(device: Device, shape: Shape, value: number, dtype: Dtype = 'f32'): Tensor {
  const t = empty(device, shape, dtype);
  fill(t, value);
  return t;
}

/** A tensor of zeros. */
export function zeros(device: Device, shape: Shape, dtype: Dtype = 'f32'): Tensor {
  return full(device, shape, 0, dtype);
}

/** A tensor of ones. */
export function ones(device: Device, shape: Shape, dtype: Dtype = 'f32'): Tensor {
  return full(device, shape, 1, dtype);
}

/** Sets every element, in place. */
export function fill(t: Tensor, value: number): void {
  (t.dtype === 'f32' ? fillFloat : fillInt)(t.device, t.storage, t.size, value);
}

/** What a scope may return: tensors, alone or inside arrays, plain objects, maps and sets; each once. */
function tensorsIn(value: unknown, found = new Set<Tensor>()): Set<Tensor> {
  if (value instanceof Tensor) found.add(value);
  else if (Array.isArray(value) || value instanceof Map || value instanceof Set) for (const v of value) tensorsIn(v, found);
  else if (value && Object.getPrototypeOf(value) === Object.prototype) for (const v of Object.values(value)) tensorsIn(v, found);
  return found;
}

/**
 * Runs `work` and gives back every tensor made in it, except those it returns, also in arrays, plain objects, maps and sets. Synchronous only: read
 * results after the scope.
 */
export function scope<T>(device: Device, work: () => T): T {
  device.openScope();
  try {
    const result = work();
    if (result instanceof Promise) throw new Error('a scope is synchronous: read tensors back after it, not in it');
    for (const t of tensorsIn(result)) device.promote(t.storage);
    return result;
  } finally {
    device.closeScope();
  }
}

/** A step that can be replayed: the tensors it returned (rewritten by every `run`), and the capture itself. */
export interface Step<T> {
  result: T;
  capture: Capture;
  run(): T;
  dispose(): void;
}

/**
 * Captures the kernels that `work` launches, for replay with fixed buffers. Nothing runs until `run()`. Numbers that change between
 * replays (learning rate, batch, random draw) have to be read from tensors. What `work` uses has to live as long as the step is run: `run`
 * throws a ValidationError where a tensor of it was disposed or left its scope.
 */
export function capture<T>(device: Device, work: () => T): Step<T> {
  const made = device.capture(work, result => [...tensorsIn(result)].map(t => t.storage));
  return {
    ...made,
    run() {
      made.capture.run();
      return made.result;
    },
    dispose: () => made.capture.dispose(),
  };
}

/** The first n elements of a one-dimensional tensor, in the same memory. */
export function slice1(t: Tensor, n: number): Tensor {
  t.device.adopt(t.storage.retain());
  const view = new Tensor(t.device, t.storage, [n], t.dtype);
  t.dispose();
  return view;
}
