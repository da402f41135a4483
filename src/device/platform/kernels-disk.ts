/** Kernels' texts read from their files: editing a file is all that an experiment takes. Used in a checkout. */
import { readFileSync } from 'node:fs';

/** The text of `src/kernels/wgsl/NAME.wgsl`. */
export function kernelText(name: string): string {
  return readFileSync(new URL(`../../kernels/wgsl/${name}.wgsl`, import.meta.url), 'utf8');
}
