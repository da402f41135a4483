/** A kernel as the device sees it: finished WGSL, its storage bindings, and how wide one workgroup is. */

export interface Program {
  /** Unique among programs of different code: the key of the pipeline cache, and the name in errors and profiles. */
  readonly label: string;
  /** Complete WGSL. Binding 0 is the uniform block (if `uniform`), bindings 1.. are the storage buffers in order. */
  readonly code: string;
  readonly entry: string;
  /** Access of each storage binding, in order. */
  readonly bindings: readonly ('read' | 'write')[];
  readonly uniform: boolean;
}

/** Workgroups in x, y, z. */
export type Grid = readonly [number, number, number];

/** Bytes reserved for a dispatch's uniform block: the alignment that every adapter accepts for an offset. */
export const UNIFORM_SLOT = 256;

/** Fills the uniform block of a dispatch, in the order of its fields in WGSL. */
export class UniformWriter {
  readonly bytes = new ArrayBuffer(UNIFORM_SLOT);
  private readonly u32 = new Uint32Array(this.bytes);
  private readonly f32 = new Float32Array(this.bytes);
  private words = 0;

  uint(...values: number[]): this {
    for (const v of values) this.u32[this.words++] = v;
    return this;
  }

  int(...values: number[]): this {
    return this.uint(...values.map(v => v >>> 0));
  }

  float(...values: number[]): this {
    for (const v of values) this.f32[this.words++] = v;
    return this;
  }

  /** Aligns to a `vec4`, for arrays of vectors in a uniform block. */
  align(words = 4): this {
    this.words = Math.ceil(this.words / words) * words;
    return this;
  }

  get data(): Uint32Array<ArrayBuffer> {
    return this.u32.subarray(0, Math.max(4, Math.ceil(this.words / 4) * 4));
  }
}

/** A new uniform block: `uniform().uint(n, c).float(eps)`. */
export function uniform(): UniformWriter {
  return new UniformWriter();
}
