/**
 * The device: one funnel through which every kernel launch goes (`dispatch`). Batching into command buffers, uniform blocks, capture,
 * counting and timing happen here and nowhere else.
 */
import { Capture, type Recorded } from './capture.ts';
import { checkAliases, checkGrid, validationError } from './checks.ts';
import { DeviceLostError, OutOfMemoryError, ValidationError } from './errors.ts';
import { Pipelines } from './pipelines.ts';
import { BufferPool, type MemoryStats, type Storage } from './pool.ts';
import { Profiler } from './profiler.ts';
import { type Grid, type Program, UNIFORM_SLOT, type UniformWriter } from './program.ts';

/** What the adapter says of itself, with the kind under which it was asked for. */
export interface AdapterDescription {
  kind: 'gpu' | 'lavapipe' | 'swiftshader' | 'browser';
  vendor: string;
  architecture: string;
  description: string;
  /** True where a processor plays the adapter: loads are dear, workgroup memory is no faster than any other. */
  processor: boolean;
  /** Invocations of a subgroup; 0 where kernels cannot use subgroups, or cannot rely on one size. */
  subgroupSize: number;
  /** Whether subgroups multiply 16 x 16 matrices of f16 and sum in f32 (chromium-experimental-subgroup-matrix). */
  matrixUnits: boolean;
}

/** What the operands of convolutions are rounded to: `f16` where the adapter has matrix units for it, and nothing else changes. */
export type Precision = 'f32' | 'f16';

/** Counters since the device was opened (`MemoryStats` in bytes). */
export interface DeviceStats extends MemoryStats {
  pipelines: number;
  dispatches: number;
  submits: number;
  readbacks: number;
}

/** Dispatches that wait in one command buffer before it is submitted. */
const BATCH = 512;
/** Uniform blocks in the ring. One is never reused before the command buffer that reads it was submitted. */
const RING = 1024;
/** The one place where kernels are launched: pipelines, uniform blocks, the buffer pool, capture and replay, readback, errors. */
export class Device {
  readonly gpu: GPUDevice;
  readonly adapter: AdapterDescription;
  readonly limits: GPUSupportedLimits;
  readonly profiler: Profiler;
  /** What was asked for where the adapter can do it, else `f32`. */
  readonly precision: Precision;
  private readonly counters = { dispatches: 0, submits: 0, readbacks: 0 };
  private readonly rootPool: BufferPool;
  private readonly wait: <T>(work: Promise<T>) => Promise<T>;
  private pool: BufferPool;
  private readonly pipelines: Pipelines;
  private readonly ring: GPUBuffer;
  private readonly ringData = new Uint32Array((RING * UNIFORM_SLOT) / 4);
  private ringUsed = 0;
  private encoder: GPUCommandEncoder | undefined;
  private pass: GPUComputePassEncoder | undefined;
  /** The pipeline that the open pass is set to: each call into Dawn costs a microsecond. */
  private passPipeline: GPUComputePipeline | undefined;
  private pending = 0;
  private readonly scopes: Map<Storage, number>[] = [];
  private recording: Capture | undefined;
  /** What the step being recorded has derived so far, by source and name. */
  private readonly derivations = new Map<Storage, Map<string, Storage>>();
  /** Buffers of captured steps. They replay one after another, so what one uses only while it runs, another may use too. */
  private capturePool: BufferPool | undefined;
  private captures = 0;
  private number: Storage | undefined;
  private failure: Error | undefined;
  private closed = false;
  private readonly constants = new Map<string, Storage>();

  /**
   * @param wait how the platform awaits what the device does
   */
  constructor(
    gpu: GPUDevice,
    adapter: AdapterDescription,
    wait: <T>(work: Promise<T>) => Promise<T> = work => work,
    precision: Precision = 'f32',
  ) {
    this.gpu = gpu;
    const subgroups = gpu.features.has('subgroups');
    this.adapter = subgroups ? adapter : { ...adapter, subgroupSize: 0, matrixUnits: false };
    this.precision = this.adapter.matrixUnits ? precision : 'f32';
    this.limits = gpu.limits;
    this.wait = wait;
    this.rootPool = new BufferPool(gpu);
    this.pool = this.rootPool;
    this.pipelines = new Pipelines(gpu);
    this.ring = gpu.createBuffer({
      label: 'uniform ring',
      size: RING * UNIFORM_SLOT,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    this.profiler = new Profiler(gpu);
    gpu.addEventListener('uncapturederror', event => {
      const { error } = event as GPUUncapturedErrorEvent;
      if (error instanceof GPUOutOfMemoryError) {
        this.rootPool.doubt();
        this.fail(new OutOfMemoryError(error.message));
      } else this.fail(validationError(error.message));
    });
    void gpu.lost.then(info => {
      if (!this.closed) this.fail(new DeviceLostError(`the device was lost (${info.reason}): ${info.message}`));
    });
  }

  get stats(): DeviceStats {
    return { ...this.rootPool.stats, ...this.counters, pipelines: this.pipelines.count };
  }

  /** Starts a new peak measurement at the present live bytes. */
  resetPeak(): void {
    this.rootPool.stats.peak = this.rootPool.stats.live;
  }

  // -- memory ----------------------------------------------------------------------------------------------------------------------

  /** Memory that belongs to the innermost scope, or to the caller where there is none. */
  allocate(bytes: number): Storage {
    const storage = this.pool.acquire(bytes);
    this.recording?.made(storage);
    this.adopt(storage);
    return storage;
  }

  /** Registers one reference (of a new tensor or view) with the innermost scope. */
  adopt(storage: Storage): void {
    const scope = this.scopes.at(-1);
    scope?.set(storage, (scope.get(storage) ?? 0) + 1);
  }

  /** Gives one reference back at once, before its scope ends: for a kernel's own temporaries. */
  discard(storage: Storage): void {
    this.keep(storage);
    storage.release();
  }

  /** Takes one reference out of the innermost scope that holds it: its owner releases it by hand from now on. */
  keep(storage: Storage): void {
    for (let i = this.scopes.length - 1; i >= 0; i--) if (takeOne(this.scopes[i], storage)) return;
  }

  /** Hands one reference from the innermost scope to the one around it. */
  promote(storage: Storage): void {
    const outer = this.scopes.at(-2);
    if (takeOne(this.scopes.at(-1)!, storage)) outer?.set(storage, (outer.get(storage) ?? 0) + 1);
  }

  openScope(): void {
    this.scopes.push(new Map());
  }

  /** Gives back every reference that the innermost scope still owns. */
  closeScope(): void {
    for (const [storage, count] of this.scopes.pop()!) for (let i = 0; i < count; i++) storage.release();
  }

  /** A small read-only buffer of constants, made once per content. */
  constant(words: Uint32Array<ArrayBuffer>): Storage {
    const key = words.join();
    let found = this.constants.get(key);
    if (!found) {
      if (this.pending > 0) this.flush(); // the buffer may come from a tensor that waiting commands still use
      found = this.rootPool.acquire(words.byteLength);
      this.gpu.queue.writeBuffer(found.buffer, 0, words);
      this.constants.set(key, found);
    }
    return found;
  }

  // -- launching -------------------------------------------------------------------------------------------------------------------

  /**
   * Launches a kernel. The one way in.
   * @param buffers one storage for each of the program's bindings, in order
   * @param params the uniform block
   * @param grid workgroups; a dimension above 65 535 is the caller's to split (see `gridFor`)
   */
  dispatch(program: Program, buffers: readonly Storage[], params: UniformWriter | undefined, grid: Grid): void {
    this.checkOpen();
    if (grid[0] === 0 || grid[1] === 0 || grid[2] === 0) return;
    if (buffers.length !== program.bindings.length) {
      throw new ValidationError(
        `${program.label}: ${program.bindings.length} buffers wanted, ${buffers.length} given`,
        program.label,
      );
    }
    checkAliases(program, buffers);
    checkGrid(program, grid, this.limits.maxComputeWorkgroupsPerDimension);
    for (let i = 0; i < buffers.length; i++) if (program.bindings[i] === 'write') buffers[i].version++;
    if (this.recording) {
      this.recording.record(program, buffers, params, grid);
      for (const [i, access] of program.bindings.entries()) if (access === 'write') this.forget(buffers[i]);
      return;
    }
    const pipeline = this.pipelines.get(program);
    if (this.ringUsed === RING) this.flush();
    let offset = 0;
    if (program.uniform) {
      offset = this.ringUsed++ * UNIFORM_SLOT;
      this.ringData.set(params!.data, offset / 4);
    }
    const group = this.pipelines.bindGroup(program, pipeline, buffers, this.ring, offset);
    this.encode(program.label, pipeline.pipeline, group, grid);
  }

  /**
   * Hands `use` what follows from the content of `source` alone, such as weights in the order in which a kernel reads them. A captured step
   * makes it once and keeps it until `source` is written; otherwise it lives for the call.
   */
  derived(source: Storage, name: string, make: () => Storage, use: (storage: Storage) => void): void {
    if (!this.recording) {
      const storage = make();
      use(storage);
      this.discard(storage);
      return;
    }
    const known = this.derivations.get(source) ?? new Map<string, Storage>();
    this.derivations.set(source, known);
    let storage = known.get(name);
    if (!storage) {
      storage = make();
      this.keep(storage);
      known.set(name, storage);
    }
    use(storage);
  }

  /** Gives back what was derived from a storage, and what from that. */
  private forget(source: Storage): void {
    const derived = this.derivations.get(source);
    if (!derived) return;
    this.derivations.delete(source);
    for (const storage of derived.values()) {
      this.forget(storage);
      storage.release();
    }
  }

  /** Puts one dispatch into the open command buffer. */
  private encode(label: string, pipeline: GPUComputePipeline, group: GPUBindGroup, grid: Grid): void {
    this.encoder ??= this.gpu.createCommandEncoder({ label: 'batch' });
    if (this.profiler.enabled) {
      const pass = this.encoder.beginComputePass(this.profiler.passDescriptor(label));
      pass.setPipeline(pipeline);
      issue(pass, group, grid);
      pass.end();
    } else {
      this.pass ??= this.encoder.beginComputePass({ label: 'batch' });
      if (pipeline !== this.passPipeline) {
        this.pass.setPipeline(pipeline);
        this.passPipeline = pipeline;
      }
      issue(this.pass, group, grid);
    }
    this.counters.dispatches++;
    if (++this.pending >= BATCH) this.flush();
  }

  /** Submits what waits. Uniform blocks are written first: `writeBuffer` takes effect before a later submit. */
  flush(): void {
    this.pass?.end();
    this.pass = undefined;
    this.passPipeline = undefined;
    if (this.encoder) {
      if (this.ringUsed > 0) this.gpu.queue.writeBuffer(this.ring, 0, this.ringData, 0, (this.ringUsed * UNIFORM_SLOT) / 4);
      this.profiler.resolve(this.encoder);
      this.gpu.queue.submit([this.encoder.finish()]);
      this.counters.submits++;
    }
    this.encoder = undefined;
    this.pending = 0;
    this.ringUsed = 0;
  }

  /** Writes host data. What was dispatched before sees the old content, what comes after sees the new. */
  write(storage: Storage, data: ArrayBufferView<ArrayBuffer>, byteOffset = 0): void {
    this.checkOpen();
    this.refuseInCapture('host data cannot be written inside a captured step: write it before the replay');
    storage.version++;
    if (this.pending > 0) this.flush();
    const padded = data.byteLength % 4 === 0 ? data : padToWords(data);
    this.gpu.queue.writeBuffer(storage.buffer, byteOffset, padded);
  }

  /** Reads the first `bytes` bytes. Everything dispatched before is seen. */
  async read(storage: Storage, bytes: number): Promise<ArrayBuffer> {
    this.checkOpen();
    this.refuseInCapture('a captured step cannot read back: read its outputs after the replay');
    const size = Math.max(4, Math.ceil(bytes / 4) * 4);
    const staging = this.gpu.createBuffer({ label: 'readback', size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    this.flush();
    const encoder = this.gpu.createCommandEncoder({ label: 'readback' });
    encoder.copyBufferToBuffer(storage.buffer, 0, staging, 0, size);
    this.gpu.queue.submit([encoder.finish()]);
    this.counters.submits++;
    this.counters.readbacks++;
    try {
      await this.wait(staging.mapAsync(GPUMapMode.READ));
    } catch (error) {
      await new Promise(resolve => setTimeout(resolve, 10)); // the reason arrives as an event of its own
      throw this.failure ?? new DeviceLostError(`a readback failed: ${(error as Error).message}`);
    }
    const copy = staging.getMappedRange().slice(0, bytes);
    staging.unmap();
    staging.destroy();
    await this.wait(this.profiler.collect());
    this.throwIfFailed();
    return copy;
  }

  /** Waits until everything dispatched has run, and throws what went wrong on the way. */
  async sync(): Promise<void> {
    this.checkOpen();
    this.flush();
    await this.submitted();
    await this.wait(this.profiler.collect());
    this.throwIfFailed();
  }

  /** Resolves when everything submitted so far has run. */
  submitted(): Promise<void> {
    return this.wait(this.gpu.queue.onSubmittedWorkDone());
  }

  // -- pipelines -------------------------------------------------------------------------------------------------------------------

  /** Compiles programs in parallel, each once. */
  async compile(programs: Iterable<Program>): Promise<void> {
    const work = this.pipelines.compile(programs);
    if (work) await this.wait(work);
  }

  // -- capture ---------------------------------------------------------------------------------------------------------------------

  /**
   * Records what `build` dispatches instead of running it, and returns it for replay with fixed buffers: no per-operation JavaScript,
   * no allocation. `build` may not read back or write host data; what changes between replays has to be read from tensors.
   * @returns the capture; its `result` is what `build` returned, valid after the first `run`
   */
  capture<T>(build: () => T, keep: (result: T) => Iterable<Storage>): { capture: Capture; result: T } {
    this.refuseInCapture('captures do not nest');
    this.capturePool ??= this.rootPool.child();
    const capture = new Capture(this, this.capturePool);
    this.recording = capture;
    this.pool = capture.pool;
    this.openScope();
    try {
      const result = build();
      // a result that was made outside of the step stays with its owner
      for (const storage of keep(result)) if (takeOne(this.scopes.at(-1)!, storage)) capture.own(storage);
      this.captures++;
      return { capture, result };
    } finally {
      for (const source of [...this.derivations.keys()]) this.forget(source);
      this.closeScope();
      capture.seal();
      this.recording = undefined;
      this.pool = this.rootPool;
    }
  }

  /** While a step is recorded: a uint32 that holds the number of the replay, from 0, so that what is drawn with it is drawn anew by each. */
  replayNumber(): Storage | undefined {
    if (!this.recording) return undefined;
    this.number ??= this.rootPool.acquire(4); // one for all steps: they replay one after another
    this.recording.numberInto(this.number);
    return this.number;
  }

  /** Throws while a step is recorded: for what would happen once, then, and be missing from every replay. */
  refuseInCapture(message: string): void {
    if (this.recording) throw new ValidationError(message);
  }

  /** For `Capture`: with the last of them their buffers go back to the pool. */
  endCapture(): void {
    if (--this.captures > 0) return;
    this.capturePool?.drain();
    this.capturePool = undefined;
  }

  /** For `Capture`: turns a record into something that can be issued again and again. */
  prepare(record: Recorded, params: GPUBuffer, offset: number): { pipeline: GPUComputePipeline; group: GPUBindGroup } {
    const p = this.pipelines.get(record.program);
    return { pipeline: p.pipeline, group: this.pipelines.makeBindGroup(record.program, p, record.buffers, params, offset) };
  }

  /** For `Capture`: one dispatch of a replay. */
  replay(label: string, pipeline: GPUComputePipeline, group: GPUBindGroup, grid: Grid): void {
    this.checkOpen();
    this.encode(label, pipeline, group, grid);
  }

  // -- end -------------------------------------------------------------------------------------------------------------------------

  private checkOpen(): void {
    if (this.closed) throw new DeviceLostError('the device is closed');
  }

  /** The first error waits to be thrown; a loss, after which nothing runs any more, takes the place of any other. */
  private fail(error: Error): void {
    if (error instanceof DeviceLostError) this.failure = error;
    else this.failure ??= error;
  }

  /** Throws the error that the device reported: once, but a loss every time. */
  throwIfFailed(): void {
    const error = this.failure;
    if (error && !(error instanceof DeviceLostError)) this.failure = undefined;
    if (error) throw error;
    this.rootPool.trust();
  }

  /** Ends the device. Without this a process that used a device does not end by itself. */
  close(): void {
    if (this.closed) return;
    this.flush();
    this.closed = true;
    this.rootPool.drain();
    this.gpu.destroy();
  }
}

/** Removes one reference of a storage from a scope; false where it has none. */
function takeOne(scope: Map<Storage, number>, storage: Storage): boolean {
  const count = scope.get(storage) ?? 0;
  if (count > 1) scope.set(storage, count - 1);
  else scope.delete(storage);
  return count > 0;
}

function issue(pass: GPUComputePassEncoder, group: GPUBindGroup, [x, y, z]: Grid): void {
  pass.setBindGroup(0, group);
  if (y === 1 && z === 1) pass.dispatchWorkgroups(x);
  else pass.dispatchWorkgroups(x, y, z);
}

function padToWords(data: ArrayBufferView): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
  out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return out;
}
