/** A recorded step: its dispatches with their buffers and uniform blocks, ready to be issued again without any per-operation work. */
import type { Device } from './device.ts';
import { ValidationError } from './errors.ts';
import type { BufferPool, Storage } from './pool.ts';
import { type Grid, type Program, UNIFORM_SLOT, type UniformWriter } from './program.ts';

export interface Recorded {
  program: Program;
  buffers: Storage[];
  params: Uint32Array<ArrayBuffer> | undefined;
  grid: Grid;
}

type Launch = { label: string; pipeline: GPUComputePipeline; group: GPUBindGroup; grid: Grid };

export class Capture {
  readonly pool: BufferPool;
  private readonly device: Device;
  private records: Recorded[] = [];
  private launches: Launch[] | undefined;
  private params: GPUBuffer | undefined;
  private owned: Storage[] = [];
  /** While it is recorded: what it allocated. */
  private readonly allocated = new Set<Storage>();
  /** What has to be there at a replay, all buffers but those that came and went while it was recorded; and what of it a replay writes. */
  private needed: readonly Storage[] = [];
  private written: readonly Storage[] = [];
  /** Where it is read, a uint32 that holds the number of the replay. */
  private number: Storage | undefined;
  private runs = 0;
  private disposed = false;

  constructor(device: Device, pool: BufferPool) {
    this.device = device;
    this.pool = pool;
  }

  record(program: Program, buffers: readonly Storage[], params: UniformWriter | undefined, grid: Grid): void {
    this.records.push({ program, buffers: [...buffers], params: params?.data.slice(), grid });
  }

  /** Told of every allocation while it is recorded. */
  made(storage: Storage): void {
    this.allocated.add(storage);
  }

  /** Has every replay write its number, from 0, into `storage`. */
  numberInto(storage: Storage): void {
    this.number = storage;
  }

  /** Ends the recording. */
  seal(): void {
    const [needed, written] = [new Set<Storage>(), new Set<Storage>()];
    for (const { program, buffers } of this.records)
      for (const [i, b] of buffers.entries()) {
        if (b.freed && this.allocated.has(b)) continue;
        needed.add(b);
        if (program.bindings[i] === 'write') written.add(b);
      }
    this.allocated.clear();
    this.needed = [...needed];
    this.written = [...written];
  }

  /** Outputs stay alive as long as the capture. */
  own(storage: Storage): void {
    this.owned.push(storage);
  }

  /** Dispatches of one replay. */
  get length(): number {
    return this.launches?.length ?? this.records.length;
  }

  /** The programs it launches, for compiling in parallel. */
  programs(): Program[] {
    return this.records.map(r => r.program);
  }

  /** Compiles what is missing in parallel, and builds the bind groups. `run` does the same one by one where this was not awaited. */
  async ready(): Promise<this> {
    await this.device.compile(this.programs());
    this.prepare();
    return this;
  }

  private prepare(): Launch[] {
    if (this.launches) return this.launches;
    const data = new Uint32Array((this.records.length * UNIFORM_SLOT) / 4);
    this.records.forEach((r, i) => {
      if (r.params) data.set(r.params, (i * UNIFORM_SLOT) / 4);
    });
    const size = Math.max(UNIFORM_SLOT, data.byteLength);
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    const params = this.device.gpu.createBuffer({ label: 'captured uniforms', size, usage });
    this.device.gpu.queue.writeBuffer(params, 0, data);
    this.params = params;
    this.launches = this.records.map((r, i) => ({
      label: r.program.label,
      grid: r.grid,
      ...this.device.prepare(r, params, i * UNIFORM_SLOT),
    }));
    return this.launches;
  }

  /**
   * Issues every dispatch once more.
   * @throws ValidationError after `dispose`; where a tensor that it uses was given back, whose memory may be another's by now; and while a
   *   step is recorded, which cannot hold another
   */
  run(): void {
    if (this.disposed) throw new ValidationError('a captured step was run after it was disposed');
    const device = this.device;
    device.refuseInCapture('a captured step cannot run another: run that before it or after it');
    for (const storage of this.needed) if (storage.freed) throw this.missing(storage);
    if (this.number) device.write(this.number, Uint32Array.of(this.runs++));
    for (const storage of this.written) storage.version++;
    for (const l of this.prepare()) device.replay(l.label, l.pipeline, l.group, l.grid);
  }

  private missing(storage: Storage): ValidationError {
    const { program, buffers } = this.records.find(r => r.buffers.includes(storage))!;
    return new ValidationError(
      `a captured step uses a tensor that was disposed or left its scope: keep() it (argument ${buffers.indexOf(storage)} of ${program.label})`,
      program.label,
    );
  }

  /** Gives its buffers back. @throws ValidationError while a step is recorded, which may use the same pool of buffers */
  dispose(): void {
    if (this.disposed) return;
    this.device.refuseInCapture('a captured step cannot be disposed of while another is recorded: do it before or after');
    this.disposed = true;
    this.device.flush();
    for (const storage of this.owned) if (!storage.freed) storage.release();
    this.device.endCapture();
    this.params?.destroy();
    this.records = [];
    this.launches = [];
    this.needed = [];
    this.written = [];
  }
}
