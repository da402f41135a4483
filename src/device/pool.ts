/**
 * Buffers by size class. A training step asks for the same sizes again and again, so a freed buffer waits here for the next request
 * of its class, and a steady state makes none. WebGPU executes in order, therefore a buffer may be handed out again while
 * commands that use it are still queued: the new user's commands come later.
 */
import { OutOfMemoryError } from './errors.ts';

/** One piece of device memory with its owners counted: tensors that are views of each other share it. */
export class Storage {
  readonly buffer: GPUBuffer;
  /** Bytes of the buffer: the size class, at least what was asked for. */
  readonly bytes: number;
  /** Names the buffer in the bind-group cache. */
  readonly id: number;
  refs = 1;
  /** Rises with every write from the host or by a kernel, launched or recorded: what was computed from the content can tell that it is no longer the same. */
  version = 0;
  readonly pool: BufferPool;

  constructor(buffer: GPUBuffer, bytes: number, id: number, pool: BufferPool) {
    this.buffer = buffer;
    this.bytes = bytes;
    this.id = id;
    this.pool = pool;
  }

  get freed(): boolean {
    return this.refs === 0;
  }

  retain(): this {
    if (this.freed) throw new Error('storage used after it was given back');
    this.refs++;
    return this;
  }

  release(): void {
    if (this.freed) throw new Error('storage given back twice');
    if (--this.refs === 0) this.pool.giveBack(this);
  }
}

/** What the pool and its children counted, in bytes. */
export interface MemoryStats {
  live: number;
  peak: number;
  pooled: number;
  buffersMade: number;
}

/**
 * The class that a request falls into: four steps per power of two (so at most a quarter is wasted), 256 bytes at least, and always a
 * multiple of 16 so that kernels may read whole `vec4f` past the last element.
 */
export function sizeClass(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = 2 ** (Math.ceil(Math.log2(bytes)) - 3);
  return Math.ceil(bytes / Math.max(step, 64)) * Math.max(step, 64);
}

type Idle = { buffer: GPUBuffer; id: number };

export class BufferPool {
  private readonly idle = new Map<number, Idle[]>();
  private nextId = 0;
  /** Of the root: buffers made since all was well, and those of which one is without memory. */
  private fresh: number[] = [];
  private readonly doubtful = new Set<number>();
  private ended = false;
  readonly stats: MemoryStats;
  private readonly device: GPUDevice;
  private readonly parent: BufferPool | undefined;
  private readonly limit: number;

  constructor(device: GPUDevice, parent?: BufferPool) {
    this.device = device;
    this.parent = parent;
    this.stats = parent?.stats ?? { live: 0, peak: 0, pooled: 0, buffersMade: 0 };
    this.limit = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
  }

  /** A private pool on top of this one: a captured step keeps its buffers between replays. */
  child(): BufferPool {
    return new BufferPool(this.device, this);
  }

  /**
   * @param bytes what is needed; the storage may be larger
   * @throws OutOfMemoryError above the adapter's limit for one binding
   */
  acquire(bytes: number): Storage {
    if (bytes > this.limit) {
      const mib = (n: number) => (n / 2 ** 20).toFixed(1);
      throw new OutOfMemoryError(
        `a tensor of ${mib(bytes)} MiB exceeds this adapter's limit of ${mib(this.limit)} MiB for one buffer; use a smaller batch`,
      );
    }
    const size = Math.min(sizeClass(bytes), this.limit);
    const found = this.take(size) ?? this.make(size);
    this.stats.live += size;
    this.stats.peak = Math.max(this.stats.peak, this.stats.live);
    return new Storage(found.buffer, size, found.id, this);
  }

  giveBack(storage: Storage): void {
    this.stats.live -= storage.bytes;
    const pool = this.ended && this.parent ? this.parent : this;
    pool.put(storage.bytes, { buffer: storage.buffer, id: storage.id });
  }

  /** Ends a child pool: its idle buffers, and those that come back later, go to the parent. The root pool destroys them. */
  drain(): void {
    this.ended = true;
    for (const [size, list] of this.idle) {
      for (const entry of list) {
        this.stats.pooled -= size;
        if (this.parent) this.parent.put(size, entry);
        else entry.buffer.destroy();
      }
    }
    this.idle.clear();
  }

  /** The device reported nothing: all buffers are there. */
  trust(): void {
    this.fresh = [];
  }

  /** The device had no memory for a buffer, and does not say for which: none of those made since all was well is handed out again. */
  doubt(): void {
    for (const id of this.fresh) this.doubtful.add(id);
  }

  private take(size: number): Idle | undefined {
    const own = this.idle.get(size)?.pop();
    if (!own) return this.parent?.take(size);
    this.stats.pooled -= size;
    if (!this.root.doubtful.delete(own.id)) return own;
    own.buffer.destroy();
    return this.take(size);
  }

  private get root(): BufferPool {
    return this.parent?.root ?? this;
  }

  private put(size: number, entry: Idle): void {
    const list = this.idle.get(size);
    if (list) list.push(entry);
    else this.idle.set(size, [entry]);
    this.stats.pooled += size;
  }

  private make(size: number): Idle {
    if (this.parent) return this.parent.make(size);
    this.stats.buffersMade++;
    const id = this.nextId++;
    this.fresh.push(id);
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    return { buffer: this.device.createBuffer({ label: `tensor ${size} B #${id}`, size, usage }), id };
  }
}
