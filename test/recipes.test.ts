/**
 * Every command of `recipes`, of the other documents and of the program's own help, parsed by its own parser with nothing run: names, values and the
 * rules between them hold, and no row of the paper is missing.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { givenFlags } from '../src/cli/options.ts';
import { createProgram } from '../src/cli/program.ts';
import { type Axis, combinations } from '../src/cli/sweep/plan.ts';
import { evalFlags, resolveEvaluation } from '../src/train/attack-settings.ts';
import { resolveConfig, trainFlags } from '../src/train/config.ts';
import { explainFlags, resolveExplanation } from '../src/train/explain/settings.ts';
import { exportFlags, resolveExport } from '../src/train/export-settings.ts';
import { resolveRobustBird, robustBirdFlags } from '../src/train/robust-bird/settings.ts';
import { parseCommand } from './cli/parse.ts';

const folder = fileURLToPath(new URL('../recipes', import.meta.url));
const pages = readdirSync(folder).map(name => ({ name, text: readFileSync(join(folder, name), 'utf8') }));

/** The commands of a page's blocks, as words without `npx sparrow`. */
function commandsOf(text: string): string[][] {
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(match => match[1]);
  const lines = blocks.flatMap(block =>
    block
      .replace(/ \\\n\s+/g, ' ')
      .trim()
      .split('\n'),
  );
  return lines.map(line => {
    const [npx, sparrow, ...words] = line.split(' ');
    expect([npx, sparrow, /["'$`\\]/.test(line)], line).toEqual(['npx', 'sparrow', false]); // words need no shell to be told apart
    return words;
  });
}

const settings = {
  train: { flags: trainFlags, resolve: resolveConfig },
  'robust-bird': { flags: robustBirdFlags, resolve: resolveRobustBird },
  eval: { flags: evalFlags, resolve: resolveEvaluation },
  attack: { flags: evalFlags, resolve: resolveEvaluation },
  explain: { flags: explainFlags, resolve: resolveExplanation },
  export: { flags: exportFlags, resolve: resolveExport },
} as const;

/** Parses a command, of a sweep each command that it would run. @returns the folders that it trains in */
function check(words: readonly string[]): string[] {
  const command = parseCommand(words);
  if (words[0] === 'sweep') {
    const swept = createProgram().commands.find(c => c.name() === command.args[0])!;
    const kind = (flag: string) => {
      const option = swept.options.find(o => o.long === flag);
      return option && (option.required ? 'value' : 'switch');
    };
    return combinations(command.opts<{ grid: Axis[] }>().grid, command.args, kind).flatMap(run => check(run.argv));
  }
  const own = settings[words[0] as keyof typeof settings];
  if (own) own.resolve(givenFlags(command, own.flags) as never);
  const { saveDir } = command.opts<{ saveDir?: string }>();
  return saveDir === undefined ? [] : [saveDir];
}

describe.each(pages)('recipes/$name', ({ text }) => {
  const commands = commandsOf(text);

  it.each(commands.map(words => [words.join(' '), words] as const))('%s', (_, words) => {
    check(words);
  });

  it('trains each run in a folder of its own', () => {
    const folders = commands.flatMap(check);
    expect(folders.filter((path, i) => folders.indexOf(path) < i)).toEqual([]);
  });
});

/** The lines of a text that are commands, after what they begin with; those with an ellipsis are none. */
const commandLines = (text: string, start: string): string[] =>
  text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line.startsWith(start) && !line.includes(' ... '))
    .map(line => line.slice(start.length).replace(/ +#.*/, ''));

describe.each(['README.md', 'CONTRIBUTING.md', 'docs/pack.md', 'docs/shapes.md'])('%s', name => {
  const text = readFileSync(join(folder, '..', name), 'utf8');

  it('has commands that parse', () => {
    const lines = commandLines(text, 'npx sparrow ').concat(commandLines(text, 'sparrow-VERSION-linux-x64/sparrow '));
    expect(lines.length > 0).toBe(name === 'README.md' || name === 'docs/pack.md');
    for (const line of lines) check(line.split(' '));
  });

  it('links to files that are there', () => {
    const links = [...text.matchAll(/\]\(([^)#:]+)(?:#[\w-]+)?\)/g)].map(match => join(folder, '..', name, '..', match[1]));
    expect(links.filter(path => !existsSync(path))).toEqual([]);
  });
});

describe('the examples of --help', () => {
  const commands = createProgram().commands.flatMap(command => [command, ...command.commands]);

  it.each(commands.map(command => [command.name(), command] as const))('of %s parse', (_, command) => {
    let help = '';
    command.configureOutput({ writeOut: text => (help += text) }).outputHelp();
    const lines = commandLines(help, 'sparrow ');
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) check(line.split(' '));
  });
});

describe('the table of the paper', () => {
  it.each(['cifar10', 'cifar100', 'tinyimagenet'])('has every row on %s, at full scale and small', dataset => {
    const page = pages.find(({ name }) => name === `${dataset}.md`)!;
    const trained = commandsOf(page.text).filter(words => words.includes('--save-dir'));
    const places = (scale: string) => ['dense', 'rb', 'fb', 'fbp'].map(row => `runs/${scale}${dataset}/${row}`);
    expect(trained.map(words => words.at(-1)).sort()).toEqual([...places(''), ...places('small/')].sort());
    for (const words of trained) expect(words[words.indexOf('--dataset') + 1]).toBe(dataset);
  });

  it('is introduced with the learning rates that the flags default to', () => {
    const readme = pages.find(({ name }) => name === 'README.md')!.text.replace(/\s+/g, ' ');
    const [train, robustBird] = [trainFlags, robustBirdFlags].map(flags => flags.decreasingLr.default?.join(' and '));
    expect(readme).toContain(`a tenth of it from epochs ${train} on (Robust Bird: ${robustBird}, in both stages)`);
  });

  it('links to headings that are there', () => {
    const readme = pages.find(({ name }) => name === 'README.md')!.text;
    const links = [...readme.matchAll(/\]\((\w+\.md)(?:#([\w-]+))?\)/g)];
    expect(links.length).toBeGreaterThan(12);
    for (const [, name, anchor] of links) {
      const headings = [...pages.find(page => page.name === name)!.text.matchAll(/^## (.+)$/gm)].map(match => slug(match[1]));
      if (anchor)
        expect(
          headings.map((h, i) => (headings.indexOf(h) < i ? `${h}-1` : h)),
          name,
        ).toContain(anchor);
    }
  });
});

/** A heading's anchor, as forges make it. */
const slug = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w -]/g, '')
    .replaceAll(' ', '-');
