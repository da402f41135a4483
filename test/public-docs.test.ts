/** Every function, class and value that the library exports says what it is, in a comment above it. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** `file: name` of what a module exports without a comment, overloads each; of a re-export, what is below it. @param only these names, all by default */
function undocumented(file: string, only?: ReadonlySet<string>): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const below = [...text.matchAll(/^export (\*|\{[^}]*\}) from '(.*)';$/gm)].flatMap(([, what, from]) => {
    const names = what === '*' ? undefined : new Set(what.match(/(?<!type )\b(?!type\b)\w+/g));
    return undocumented(join(dirname(file), from), names);
  });
  const own = [...text.matchAll(/(?<=^(.*)\n)export (?:abstract class|async function|function\*?|class|const) (\w+)/gm)]
    .filter(([, before, name]) => (!only || only.has(name)) && !before.endsWith('*/') && !isOverload(before, name))
    .map(([, , name]) => `${file}: ${name}`);
  return [...below, ...own];
}

/** Whether a line is one of the declarations that callers of a function see instead of the function itself. */
const isOverload = (line: string, name: string): boolean => new RegExp(`^export function ${name}\\b.*;$`).test(line);

it('documents all of src/index.ts', () => {
  expect(undocumented('src/index.ts')).toEqual([]);
});
