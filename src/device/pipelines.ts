/** Compiled kernels: a pipeline for each program, compiled once and many at a time, and the bind groups that hand it its buffers. */
import { ValidationError } from './errors.ts';
import type { Storage } from './pool.ts';
import { type Program, UNIFORM_SLOT } from './program.ts';

/** Cached bind groups before the cache is emptied. */
const BIND_GROUPS = 16384;

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly id: number;
}

export class Pipelines {
  private readonly gpu: GPUDevice;
  private readonly done = new Map<string, Pipeline>();
  private readonly compiling = new Map<string, Promise<Pipeline>>();
  private readonly layouts = new Map<string, { bind: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();
  private readonly groups = new Map<string, GPUBindGroup>();

  constructor(gpu: GPUDevice) {
    this.gpu = gpu;
  }

  /** Pipelines so far. */
  get count(): number {
    return this.done.size;
  }

  /** Compiled on the spot where it was not before. */
  get(program: Program): Pipeline {
    return this.done.get(program.label) ?? this.remember(program, this.gpu.createComputePipeline(this.describe(program)));
  }

  /**
   * Compiles what is missing, all at once.
   * @returns undefined where nothing is missing
   * @throws ValidationError for a program that does not compile, with the compiler's reason
   */
  compile(programs: Iterable<Program>): Promise<unknown> | undefined {
    const waiting: Promise<Pipeline>[] = [];
    for (const program of programs) {
      if (this.done.has(program.label)) continue;
      let job = this.compiling.get(program.label);
      if (!job) {
        job = this.compileOne(program);
        job.finally(() => this.compiling.delete(program.label)).catch(() => {});
        this.compiling.set(program.label, job);
      }
      waiting.push(job);
    }
    return waiting.length > 0 ? Promise.all(waiting) : undefined;
  }

  /** A bind group of the uniform block at `offset` of `params`, and of `buffers`; made once. */
  bindGroup(program: Program, p: Pipeline, buffers: readonly Storage[], params: GPUBuffer, offset: number): GPUBindGroup {
    let key = `${p.id}:${offset}`;
    for (const b of buffers) key += `,${b.id}`;
    let group = this.groups.get(key);
    if (!group) {
      if (this.groups.size >= BIND_GROUPS) this.groups.clear();
      group = this.makeBindGroup(program, p, buffers, params, offset);
      this.groups.set(key, group);
    }
    return group;
  }

  /** The same, kept by the caller. The block's place is part of the group: a dynamic offset would cost as much JavaScript as all the rest. */
  makeBindGroup(program: Program, p: Pipeline, buffers: readonly Storage[], params: GPUBuffer, offset: number): GPUBindGroup {
    const entries: GPUBindGroupEntry[] = buffers.map((b, i) => ({ binding: i + 1, resource: { buffer: b.buffer } }));
    if (program.uniform) entries.unshift({ binding: 0, resource: { buffer: params, offset, size: UNIFORM_SLOT } });
    return this.gpu.createBindGroup({ label: program.label, layout: p.layout, entries });
  }

  /** The pipeline's error only says that its module is invalid; why is in the module's own error. */
  private async compileOne(program: Program): Promise<Pipeline> {
    this.gpu.pushErrorScope('validation');
    const descriptor = this.describe(program);
    const problem = this.gpu.popErrorScope();
    try {
      const pipeline = await this.gpu.createComputePipelineAsync(descriptor);
      return this.done.get(program.label) ?? this.remember(program, pipeline);
    } catch (error) {
      const reason = (await problem)?.message ?? (error as Error).message;
      throw new ValidationError(`kernel '${program.label}' does not compile: ${reason}`, program.label);
    }
  }

  private describe(program: Program): GPUComputePipelineDescriptor {
    const module = this.gpu.createShaderModule({ label: program.label, code: program.code });
    return { label: program.label, layout: this.layoutFor(program).pipeline, compute: { module, entryPoint: program.entry } };
  }

  private remember(program: Program, pipeline: GPUComputePipeline): Pipeline {
    const entry = { pipeline, layout: this.layoutFor(program).bind, id: this.done.size };
    this.done.set(program.label, entry);
    return entry;
  }

  /** One layout for all programs with the same kinds of bindings. */
  private layoutFor(program: Program) {
    const key = `${program.uniform ? 'u' : '-'}${program.bindings.map(b => b[0]).join('')}`;
    let found = this.layouts.get(key);
    if (!found) {
      const entries: GPUBindGroupLayoutEntry[] = program.bindings.map((access, i) => ({
        binding: i + 1,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
      }));
      if (program.uniform) {
        entries.unshift({ binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform' } });
      }
      const bind = this.gpu.createBindGroupLayout({ label: key, entries });
      found = { bind, pipeline: this.gpu.createPipelineLayout({ label: key, bindGroupLayouts: [bind] }) };
      this.layouts.set(key, found);
    }
    return found;
  }
}
