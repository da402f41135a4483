/** Files whole or not at all, on a real disk: what stays behind after a failure, and what the message says. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { appendLine, ensureWritableFile, ensureWritableFolder, readFileBytes, writeFileAtomic } from '../../src/data/files.ts';
import { FileError } from '../../src/errors.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sparrow-files-'));
});
afterEach(() => {
  chmodSync(folder, 0o755);
  rmSync(folder, { recursive: true });
});

const at = (name: string) => join(folder, name);

function failure(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(FileError);
    return (error as Error).message;
  }
  throw new Error('did not fail');
}

/** Runs an action without root's right to write everywhere. */
function asOrdinaryUser<T>(action: () => T): T {
  if (process.geteuid!() !== 0) return action();
  chmodSync(folder, 0o555);
  process.seteuid!(65534);
  try {
    return action();
  } finally {
    process.seteuid!(0);
  }
}

/** What is said when 'a' is written in a process whose files may have `limit` bytes. */
function refusedAfter(limit: number, content: string): string {
  const write = `import { writeFileAtomic } from './src/data/files.ts';
    try { writeFileAtomic(process.env.TARGET, ${content}) } catch (error) { process.stdout.write(error.message) }`;
  const shell = `ulimit -f ${limit / 1024}; exec "$NODE" --import tsx --input-type=module -e "$CODE"`;
  const env = { ...process.env, NODE: process.execPath, CODE: write, TARGET: at('a') };
  return spawnSync('bash', ['-c', shell], { env, encoding: 'utf8' }).stdout;
}

describe('writeFileAtomic', () => {
  it('writes text and bytes, replaces a file, and leaves nothing else', () => {
    writeFileAtomic(at('a'), 'one');
    writeFileAtomic(at('a'), new Uint8Array([0x32]));
    expect(readFileSync(at('a'), 'utf8')).toBe('2');
    expect(readdirSync(folder)).toEqual(['a']);
  });

  it('keeps a symbolic link and replaces its target', () => {
    mkdirSync(at('far'));
    writeFileSync(at('far/target'), 'old');
    symlinkSync(at('far/target'), at('link'));
    writeFileAtomic(at('link'), 'new');
    expect(readFileSync(at('far/target'), 'utf8')).toBe('new');
    expect(
      readdirSync(folder, { withFileTypes: true })
        .find(e => e.name === 'link')!
        .isSymbolicLink(),
    ).toBe(true);
  });

  it('keeps the old content and no temporary file when the disk refuses half-way', () => {
    writeFileSync(at('a'), 'old');
    const message = refusedAfter(2 ** 21, 'new Uint8Array(4 << 20)');
    expect(message).toBe(`cannot write ${at('a')}: the file would be larger than allowed here`);
    expect(readdirSync(folder)).toEqual(['a']);
    expect(readFileSync(at('a'), 'utf8')).toBe('old');
  });

  it('writes in chunks, since Node takes less than 2 GiB at once', () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i);
    for (const chunk of [1, 7, 999, 1000, 1001]) {
      writeFileAtomic(at('a'), bytes, chunk);
      expect(readFileSync(at('a'))).toEqual(Buffer.from(bytes));
    }
    // the limit on the file's size ends the first write of 2 GiB of untouched zeros, which are not in memory then
    const message = refusedAfter(2 ** 20, 'new Uint8Array(2 ** 31 + 1)');
    expect(message).toBe(`cannot write ${at('a')}: the file would be larger than allowed here`);
  });

  it('says what is wrong with a path', () => {
    writeFileSync(at('file'), '');
    expect(failure(() => writeFileAtomic(at('none/a'), ''))).toBe(`cannot write ${at('none/a')}: its folder does not exist`);
    expect(failure(() => writeFileAtomic(at('file/a'), ''))).toMatch(/a part of the path is a file, not a folder$/);
    expect(failure(() => writeFileAtomic(folder, ''))).toMatch(/it is not a regular file$/);
    expect(failure(() => writeFileAtomic('/dev/null', ''))).toMatch(/it is not a regular file$/);
    expect(failure(() => writeFileAtomic(at('new/'), ''))).toMatch(/new\/: that is a folder's name, not a file's$/);
    expect(failure(() => writeFileAtomic(at('x'.repeat(300)), ''))).toMatch(/the name is too long$/);
  });

  it('says when it is not permitted, and leaves nothing', () => {
    chmodSync(folder, 0o555);
    expect(asOrdinaryUser(() => failure(() => writeFileAtomic(at('a'), '')))).toBe(`cannot write ${at('a')}: permission denied`);
    expect(readdirSync(folder)).toEqual([]);
  });
});

it('says in plain words that a disk is full', () => {
  expect(failure(() => appendLine('/dev/full', 'x'))).toBe('cannot write /dev/full: the disk is full');
});

it('says that a file to read is missing or a folder', () => {
  expect(failure(() => readFileBytes(at('none')))).toBe(`cannot read ${at('none')}: it does not exist`);
  expect(failure(() => readFileBytes(folder))).toBe(`cannot read ${folder}: it is a folder, not a file`);
});

describe('ensureWritableFile', () => {
  it('makes the folder, and writes nothing', () => {
    ensureWritableFile(at('a/b'));
    ensureWritableFile(at('a/b'));
    expect([readdirSync(folder), readdirSync(at('a'))]).toEqual([['a'], []]);
  });

  it('refuses what writeFileAtomic would, also behind a symbolic link', () => {
    mkdirSync(at('a'));
    symlinkSync(at('a'), at('link'));
    for (const path of [at('a'), at('a/'), at('new/'), at('link'), '/dev/null'])
      expect(failure(() => ensureWritableFile(path))).toBe(failure(() => writeFileAtomic(path, '')));
    expect(readdirSync(folder)).toEqual(['a', 'link']);
  });
});

describe('ensureWritableFolder', () => {
  it('makes the folder with its parents and clears what a killed process left', () => {
    ensureWritableFolder(at('a/b'));
    expect(readdirSync(at('a/b'))).toEqual([]);
    const { pid } = spawnSync(process.execPath, ['--version']);
    for (const gone of [pid, process.pid]) writeFileSync(at(`a/b/.${gone}@${hostname()}.0123cdef.sparrow-tmp`), 'half');
    writeFileSync(at('a/b/keep.tmp'), '');
    ensureWritableFolder(at('a/b'));
    expect(readdirSync(at('a/b'))).toEqual(['keep.tmp']);
  });

  it("leaves what a running process is writing there, another user's too", () => {
    // process 1 is root's
    const written = [...new Set([1, process.ppid])].map(pid => `.${pid}@${hostname()}.0123cdef.sparrow-tmp`);
    for (const name of written) writeFileSync(at(name), 'half');
    ensureWritableFolder(folder);
    expect(readdirSync(folder)).toEqual(written.sort());
  });

  it('leaves what another machine may be writing there for a day', () => {
    const { pid } = spawnSync(process.execPath, ['--version']);
    // the second is of a version that named no host
    const names = [`.${pid}@x${hostname()}.0123cdef.sparrow-tmp`, `.checkpoint.safetensors.${pid}.sparrow-tmp`];
    for (const name of names) writeFileSync(at(name), 'half');
    ensureWritableFolder(folder);
    expect(readdirSync(folder)).toEqual(names.sort());
    for (const name of names) utimesSync(at(name), new Date(), new Date(Date.now() - 25 * 3600 * 1000));
    ensureWritableFolder(folder);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('writes temporary files that say who writes them', () => {
    const writing = `import fs from 'node:fs';
      import { syncBuiltinESMExports } from 'node:module';
      const rename = fs.renameSync;
      fs.renameSync = (from, to) => { process.stdout.write(process.pid + ' ' + from.split('/').at(-1)); rename(from, to); };
      syncBuiltinESMExports();
      const { writeFileAtomic } = await import('./src/data/files.ts');
      writeFileAtomic(process.env.TARGET, 'x');`;
    const env = { ...process.env, TARGET: at('a') };
    const args = ['--import', 'tsx', '--input-type=module', '-e', writing];
    const [pid, name] = spawnSync(process.execPath, args, { env, encoding: 'utf8' }).stdout.split(' ');
    expect(name.startsWith(`.${pid}@${hostname()}.`)).toBe(true);
    expect(name).toMatch(/\.[0-9a-f]{8}\.sparrow-tmp$/);
  });

  it('refuses a file in its place and a folder without permission', () => {
    writeFileSync(at('file'), '');
    expect(failure(() => ensureWritableFolder(at('file')))).toMatch(/: a file of that name is in the way$/);
    expect(failure(() => ensureWritableFolder(at('file/sub')))).toMatch(/: a part of the path is a file, not a folder$/);
    chmodSync(folder, 0o555);
    expect(asOrdinaryUser(() => failure(() => ensureWritableFolder(folder)))).toMatch(/: permission denied$/);
  });
});
