/** The README's TypeScript examples run as they stand, and print what it says. */
import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const examples = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(match => match[1]);

/** Runs a file beside `src`, as the README tells. */
async function printed(code: string, name: string): Promise<string> {
  const file = join(root, name);
  writeFileSync(file, code);
  try {
    const run = await promisify(execFile)(process.execPath, ['scripts/run.js', name], { cwd: root });
    return run.stdout;
  } finally {
    rmSync(file);
  }
}

it('has three examples', () => expect(examples).toHaveLength(3));

it('gradients: what the comment says', async () => {
  const said = /console\.log\(.*\); \/\/ (.*)$/m.exec(examples[0])?.[1];
  expect((await printed(examples[0], `.example-0-${process.pid}.ts`)).trim()).toBe(said);
}, 120_000);

it("a network of one's own: its loss falls", async () => {
  const lines = (await printed(examples[1], `.example-1-${process.pid}.ts`)).trim().split('\n');
  const losses = lines.map(line => Number(line.split(' ')[1]));
  expect(losses).toHaveLength(20);
  expect(losses.at(-1)!).toBeLessThan(losses[0] / 2);
}, 120_000);

it('adversarial training under a mask: ten finite losses', async () => {
  const lines = (await printed(examples[2], `.example-2-${process.pid}.ts`)).trim().split('\n');
  const losses = lines.map(line => Number(line.split(' ')[1]));
  expect(lines.map(line => line.split(' ')[0])).toEqual(Array.from({ length: 10 }, (_, i) => `${i}`));
  for (const loss of losses) expect(loss).toBeLessThan(4);
}, 120_000);
