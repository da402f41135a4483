/** Measured choices on disk: what is kept comes back, for its own adapter only; a cache that cannot be used costs a warning and nothing else. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  adapterKey,
  type Choices,
  choicesOf,
  choicesPlace,
  decodeChoices,
  encodeChoices,
  loadChoices,
  saveChoices,
  useChoices,
} from '../../src/kernels/choices.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
const environment = { ...process.env };
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sparrow-choices-'));
  process.env.SPARROW_CACHE = folder;
  process.env.SPARROW_TUNE = '';
});
afterEach(() => {
  process.env.SPARROW_CACHE = environment.SPARROW_CACHE;
  if (environment.SPARROW_CACHE === undefined) delete process.env.SPARROW_CACHE;
  process.env.SPARROW_TUNE = environment.SPARROW_TUNE;
  rmSync(folder, { recursive: true });
  useChoices(device, new Map());
});

const file = () => join(folder, 'kernels.json');
const some: Choices = new Map([
  ['conv forward', { variant: { kernel: 'taps', q: 4, wide: true }, best: 1.5, default: 2 }],
  ['conv input gradient', { variant: null, best: 3, default: 3 }],
]);

describe('the cache', () => {
  it('gives back what was kept', () => {
    useChoices(device, some);
    saveChoices(device);
    useChoices(device, new Map());
    expect(loadChoices(device)).toBeUndefined();
    expect(choicesOf(device)).toEqual(some);
    expect(choicesPlace()).toBe(file());
    expect(readdirSync(folder)).toEqual(['kernels.json']);
  });

  it('keeps what other processes and adapters have kept meanwhile', () => {
    useChoices(device, some);
    saveChoices(device);
    const text = JSON.parse(readFileSync(file(), 'utf8'));
    text.adapters['another adapter'] = { work: { variant: null, best: 1, default: 1 } };
    text.adapters[adapterKey(device)]['later work'] = { variant: null, best: 7, default: 7 };
    writeFileSync(file(), JSON.stringify(text));
    useChoices(device, new Map([['conv forward', { variant: null, best: 2, default: 2 }]]));
    saveChoices(device);
    const after = JSON.parse(readFileSync(file(), 'utf8'));
    expect(after.adapters['another adapter']).toEqual(text.adapters['another adapter']);
    loadChoices(device);
    expect([...choicesOf(device)].map(([key, choice]) => [key, choice.best])).toEqual([
      ['conv forward', 2],
      ['conv input gradient', 3],
      ['later work', 7],
    ]);
  });

  it('is empty at first', () => {
    expect(loadChoices(device)).toBeUndefined();
    expect(choicesOf(device).size).toBe(0);
  });

  it('is not looked at with SPARROW_TUNE=off, and other values are refused', () => {
    useChoices(device, some);
    saveChoices(device);
    useChoices(device, new Map());
    process.env.SPARROW_TUNE = 'off';
    expect(loadChoices(device)).toBeUndefined();
    expect(choicesOf(device).size).toBe(0);
    process.env.SPARROW_TUNE = 'of';
    expect(() => loadChoices(device)).toThrow("SPARROW_TUNE must be on or off, got 'of'");
  });

  const valid = { variant: null, best: 1, default: 1 };
  it.each<[string, string, string]>([
    ['is cut off', '{ "version": 1, "adap', 'is not valid JSON'],
    ['is something else', '[1, 2]', 'holds no measured kernels'],
    ['is of a later version', JSON.stringify({ version: 4, adapters: {} }), 'was written by another version of sparrow'],
    ['is of version 1', JSON.stringify({ version: 1, adapters: {} }), 'was written by another version of sparrow'],
    ['is of version 2', JSON.stringify({ version: 2, adapters: {} }), 'was written by another version of sparrow'],
    ['has no choices', JSON.stringify({ version: 3, adapters: { a: 3 } }), "the entry of 'a' is damaged"],
    ['has no times', JSON.stringify({ version: 3, adapters: { a: { k: { variant: null } } } }), "the entry 'k' is damaged"],
    ['has a wrong variant', JSON.stringify({ version: 3, adapters: { a: { k: { ...valid, variant: { q: [] } } } } }), 'damaged'],
  ])('is told of and left alone where it %s, and written anew by the next tuning', (_, text, problem) => {
    writeFileSync(file(), text);
    const told = loadChoices(device);
    expect(told).toContain(`${file()}: `);
    expect(told).toContain(problem);
    expect(told).not.toContain('\n');
    expect(choicesOf(device).size).toBe(0);
    expect(readFileSync(file(), 'utf8')).toBe(text);
    useChoices(device, some);
    saveChoices(device);
    expect(loadChoices(device)).toBeUndefined();
    expect(choicesOf(device)).toEqual(some);
  });

  it('that cannot be read or written is an error with a way out, or a warning', () => {
    mkdirSync(file());
    expect(loadChoices(device)).toContain(`cannot read ${file()}`);
    expect(() => saveChoices(device)).toThrow(
      /cannot write .*kernels\.json: .*; set SPARROW_CACHE to a folder that can be written/,
    );
    rmSync(file(), { recursive: true });
    writeFileSync(join(folder, 'a-file'), '');
    process.env.SPARROW_CACHE = join(folder, 'a-file');
    expect(() => saveChoices(device)).toThrow('cannot write');
    expect(readdirSync(folder)).toEqual(['a-file']);
  });
});

describe('beside a run', () => {
  it('choices come back for the same adapter', () => {
    useChoices(device, some);
    expect(decodeChoices(device, encodeChoices(device), 'kernels.json')).toEqual(some);
  });

  it('and not for another one', () => {
    const text = encodeChoices(device).replace(adapterKey(device), 'another adapter');
    expect(decodeChoices(device, text, 'kernels.json')).toBeUndefined();
  });

  // keys of strided 1x1 convolutions have another meaning since: the tiles that are still candidates are taken, and all compute the same
  it.each([1, 2])('choices of version %d still come back, so that its runs can be resumed', version => {
    useChoices(device, some);
    const text = encodeChoices(device).replace('"version": 3', `"version": ${version}`);
    expect(text).not.toBe(encodeChoices(device));
    expect(decodeChoices(device, text, 'kernels.json')).toEqual(some);
    const later = text.replace(`"version": ${version}`, '"version": 4');
    expect(() => decodeChoices(device, later, 'runs/a/kernels.json')).toThrow(
      'runs/a/kernels.json: was written by another version of sparrow; delete it to go on with the default kernels',
    );
  });

  it('a damaged text is an error that names the file', () => {
    expect(() => decodeChoices(device, '{', 'runs/a/kernels.json')).toThrow('runs/a/kernels.json: is not valid JSON');
  });
});
