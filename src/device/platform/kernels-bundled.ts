/** Kernels' texts from inside a bundle: in browsers, in the published package and in the offline pack. */
import kernels from 'virtual:wgsl';

/** The text of `src/kernels/wgsl/NAME.wgsl`. */
export function kernelText(name: string): string {
  const text = kernels[name];
  if (text === undefined) throw new Error(`no kernel file '${name}.wgsl' in this bundle`);
  return text;
}
