/** What is checked before a launch, where the kernel is still known, and how what Dawn finds later is traced back to one. */
import { ValidationError } from './errors.ts';
import type { Storage } from './pool.ts';
import type { Grid, Program } from './program.ts';

/** A buffer that is written may be bound once only: WebGPU refuses it, or the result is silently wrong. */
export function checkAliases(program: Program, buffers: readonly Storage[]): void {
  for (let i = 0; i < buffers.length; i++) {
    if (buffers[i].freed)
      throw new ValidationError(`${program.label}: argument ${i} was given back before it was used`, program.label);
    if (program.bindings[i] !== 'write') continue;
    for (let j = 0; j < buffers.length; j++) {
      if (j !== i && buffers[j].id === buffers[i].id) {
        throw new ValidationError(`${program.label}: arguments ${i} and ${j} are one buffer, and it is written`, program.label);
      }
    }
  }
}

/** Refused here, where the kernel is known: the encoder would drop the whole batch with it. */
export function checkGrid(program: Program, grid: Grid, limit: number): void {
  if (grid.some(n => n > limit)) {
    throw new ValidationError(`${program.label}: a grid of [${grid}] workgroups exceeds ${limit} in a dimension`, program.label);
  }
}

/**
 * Dawn names the objects of a failing command in its message. The label that was asked for is in a descriptor; a shader module may carry
 * the label of another program with the same text.
 */
const NAMES = [
  /\[ComputePipelineDescriptor "+([^"]+)"/,
  /\[ShaderModuleDescriptor "+([^"]+)"/,
  /\[(?:Invalid )?(?:ComputePipeline|BindGroup|ShaderModule) "+([^"]+)"/,
];

/** The typed error of a message of Dawn. */
export function validationError(message: string): ValidationError {
  const label = NAMES.map(pattern => pattern.exec(message)?.[1]).find(name => name !== undefined);
  return new ValidationError(label ? `kernel '${label}': ${message}` : message, label);
}
