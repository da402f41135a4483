/** Makes programs from `.wgsl` files: prelude + constants + expanded template, one program for each variant, cached by its name. */
import { kernelText } from '#platform';
import type { Program } from '../device/index.ts';
import { expand, type TemplateValues } from './template.ts';

/** Which program of a family: template values; numbers and booleans are also declared as WGSL constants. */
export type Variant = TemplateValues;

const texts = new Map<string, string>();
const programs = new Map<string, Program>();

function textOf(file: string): string {
  let text = texts.get(file);
  if (text === undefined) texts.set(file, (text = kernelText(file)));
  return text;
}

/**
 * The program of a kernel file for a variant.
 * @param file the name of `wgsl/FILE.wgsl`
 * @param bindings access of each storage buffer, in binding order; `r` read, `w` read and write
 * @param variant values for the template
 * @param entry the entry point's name
 * @param derived further values that follow from the variant, and so do not name it (expressions, lists)
 */
export function program(file: string, bindings: string, variant: Variant = {}, entry = 'main', derived: Variant = {}): Program {
  const key = `${file}.${entry}${variantName(variant)}`;
  let found = programs.get(key);
  if (!found) {
    const code = assemble(expand(textOf(file), { ...variant, ...derived }, file));
    found = {
      label: key,
      code,
      entry,
      bindings: [...bindings].map(b => (b === 'r' ? 'read' : 'write')),
      uniform: /var<uniform>/.test(code),
    };
    programs.set(key, found);
  }
  return found;
}

/** Puts the prelude before a kernel, and the kernel's directives, which WGSL wants first, before both. */
function assemble(kernel: string): string {
  const directives = /^(enable|diagnostic)\b.*;\n/gm;
  return `${(kernel.match(directives) ?? []).join('')}${textOf('prelude')}\n${kernel.replace(directives, '')}`;
}

function variantName(variant: Variant): string {
  const parts = Object.entries(variant).map(([k, v]) => `${k}=${Array.isArray(v) ? v.join('_') : v}`);
  return parts.length > 0 ? `<${parts.join(',')}>` : '';
}
