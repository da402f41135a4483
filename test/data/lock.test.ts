/** Locks between real processes: who is refused and told what, and what becomes of the locks of killed ones. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lockFile } from '../../src/data/lock.ts';
import { FileError } from '../../src/errors.ts';

let folder: string;
let path: string;
let children: ChildProcess[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sparrow-lock-'));
  path = join(folder, 'a.lock');
  children = [];
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

/** Runs code in a process of its own, with `lockFile` and the lock's `path`. */
function script(code: string): [string[], { env: NodeJS.ProcessEnv; encoding: 'utf8' }] {
  const all = `import { lockFile } from './src/data/lock.ts'; const path = process.env.LOCK; ${code}`;
  return [['--import', 'tsx', '--input-type=module', '-e', all], { env: { ...process.env, LOCK: path }, encoding: 'utf8' }];
}

/** Starts such a process and waits until it has written a line. */
async function start(code: string): Promise<ChildProcess> {
  const [args, options] = script(code);
  const child = spawn(process.execPath, args, options);
  children.push(child);
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', code => reject(new Error(`ended with ${code}`)));
  });
  return child;
}

const hold = `lockFile(path, 'feeding the birds'); console.log('held'); setInterval(() => {}, 1000);`;
const holder = () => JSON.parse(readFileSync(path, 'utf8'));

it('is held once, given back, and taken again', () => {
  const release = lockFile(path, 'one');
  expect(holder()).toMatchObject({ pid: process.pid, host: hostname(), what: 'one' });
  expect(() => lockFile(path, 'two')).toThrow(FileError);
  release();
  release();
  expect(readdirSync(folder)).toEqual([]);
  const again = lockFile(path, 'three');
  release();
  expect(holder().what).toBe('three');
  again();
});

it.skipIf(process.platform !== 'linux')('is free when its process is over, though nobody asked how it ended', async () => {
  const parent = spawn('sh', ['-c', 'sleep 30 & echo $!; exec sleep 30']);
  children.push(parent);
  const pid = Number(await new Promise<Buffer>(resolve => void parent.stdout.once('data', resolve)));
  const stat = () => readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1].split(' ');
  const started = stat()[19];
  writeFileSync(path, JSON.stringify({ pid, host: hostname(), started, what: 'sleeping' }));
  expect(() => lockFile(path, 'x')).toThrow(`process ${pid}`);
  process.kill(pid, 'SIGKILL');
  while (stat()[0] !== 'Z') await new Promise(resolve => setTimeout(resolve, 10));
  lockFile(path, 'x')();
});

it('names the process that has it, which loses it only by its end', async () => {
  const child = await start(hold);
  const message = `another sparrow (process ${child.pid} on ${hostname()}) is feeding the birds; wait until it is done, or remove ${path} if it is gone`;
  expect(() => lockFile(path, 'x')).toThrow(new FileError(message));
  const ended = new Promise(resolve => child.once('close', resolve));
  child.kill('SIGKILL');
  await ended;
  expect(existsSync(path)).toBe(true);
  lockFile(path, 'x')();
  expect(readdirSync(folder)).toEqual([]);
});

it('is given back by a process that ends by itself', () => {
  const [args, options] = script(`lockFile(path, 'x'); process.exit(3);`);
  expect(spawnSync(process.execPath, args, options).status).toBe(3);
  expect(readdirSync(folder)).toEqual([]);
});

it("stays another host's, and is not that of a later process of the same number", () => {
  const whose = { pid: process.pid, host: 'elsewhere', what: 'training', id: '0' };
  writeFileSync(path, JSON.stringify(whose));
  expect(() => lockFile(path, 'x')).toThrow(/^another sparrow \(process \d+ on elsewhere\) is training; /);
  if (!existsSync('/proc/self/stat')) return;
  writeFileSync(path, JSON.stringify({ ...whose, host: hostname(), started: '1' }));
  const release = lockFile(path, 'x');
  expect(holder().started).toMatch(/^\d+$/);
  release();
});

it('is taken over where the holder was killed before it had written its name, some time ago', () => {
  writeFileSync(path, '');
  expect(() => lockFile(path, 'x')).toThrow(`another sparrow is at work here; wait until it is done, or remove ${path} if`);
  utimesSync(path, 1, 1);
  writeFileSync(`${path}.stale`, '');
  utimesSync(`${path}.stale`, 1, 1);
  lockFile(path, 'x')();
  expect(readdirSync(folder)).toEqual([]);
});

it('goes to one of several that find it stale at the same moment', async () => {
  const { pid } = spawnSync(process.execPath, ['--version']);
  const racer = `
    let won = 0;
    console.log('ready');
    process.stdin.once('data', () => {
      try { lockFile(path, 'racing'); won = 1; } catch (error) { if (error.name !== 'FileError') throw error; }
      console.log('won ' + won);
      setInterval(() => {}, 1000);
    });`;
  const racers = await Promise.all([1, 2, 3].map(() => start(racer)));
  writeFileSync(path, JSON.stringify({ pid, host: hostname(), what: 'nothing any more', id: '0' }));
  const said = racers.map(
    child => new Promise<string>(resolve => child.stdout!.once('data', text => resolve(String(text).trim()))),
  );
  for (const child of racers) child.stdin!.write('go\n');
  expect((await Promise.all(said)).sort()).toEqual(['won 0', 'won 0', 'won 1']);
  expect(readdirSync(folder)).toEqual(['a.lock']);
});

it('says where no lock can be written', () => {
  expect(() => lockFile(join(folder, 'none', 'a.lock'), 'x')).toThrow(/^cannot write .*a\.lock: its folder does not exist$/);
  mkdirSync(path);
  expect(() => lockFile(path, 'x')).toThrow(`cannot read ${path}: it is a folder, not a file`);
});
