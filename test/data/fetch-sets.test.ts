/**
 * Every data set that can be fetched, in small files of its real format: a process that downloads it is killed, the next goes on from the byte it had and leaves a set
 * that verifies and opens; wrong bytes are refused, and what was there before stays.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { zipSync } from 'fflate';
import * as tar from 'tar';
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { fetchDataSet, SOURCES, type Source, verifyDataSet } from '../../src/data/fetch.ts';
import { openDataSet } from '../../src/data/index.ts';
import { writeCifar10Binary, writeCifar100Binary } from './cifar-writer.ts';
import { jpeg, put, rgb } from './image-writer.ts';
import { matFile, matrix } from './mat-writer.ts';

const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

let room: string;
let data: string;
let server: Server;
let baseUrl: string;
/** What the server has, by name. */
let files: Record<string, Buffer>;
/** The Range header of each request, or 'all'. */
let asked: string[];
/** How many bytes of a body the server sends before it falls silent. */
let silentAfter: number;

beforeEach(async () => {
  room = mkdtempSync(join(tmpdir(), 'sparrow-sets-'));
  data = join(room, 'data');
  vi.stubEnv('SPARROW_CACHE', join(room, 'cache'));
  [files, asked, silentAfter] = [{}, [], Number.POSITIVE_INFINITY];
  server = createServer((request, response) => {
    const bytes = files[request.url!.split('/').at(-1)!];
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    asked.push(request.headers.range ?? 'all');
    const range = from > 0 ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {};
    response.writeHead(from > 0 ? 206 : 200, { etag: '"one"', 'content-length': bytes.length - from, ...range });
    const body = bytes.subarray(from);
    if (body.length > silentAfter) response.write(body.subarray(0, silentAfter));
    else response.end(body);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/files`;
});

afterEach(async () => {
  vi.unstubAllEnvs();
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
  rmSync(room, { recursive: true, force: true });
});

type Small = Pick<Source, 'rows' | 'layouts'> & { archive?: Source['archive'] };

const sums = (folder: string, names: string[]) => Object.fromEntries(names.map(n => [n, md5(readFileSync(join(folder, n)))]));

/** A tar archive of a folder below `room`, and the source that describes it. */
async function tarred(name: string, own: string, rows: Source['rows']): Promise<Small> {
  const source = SOURCES[name];
  const [layout] = source.layouts;
  const archive = source.archive!.name;
  await tar.create({ file: join(room, archive), gzip: true, cwd: join(own, '..') }, [layout.folder]);
  files[archive] = readFileSync(join(room, archive));
  const layouts: Source['layouts'] = [{ folder: layout.folder, files: sums(own, Object.keys(layout.files)) }];
  return { archive: { name: archive, md5: md5(files[archive]) }, rows, layouts };
}

function mat(rows: number): Buffer {
  const pixels = Buffer.from(Uint8Array.from({ length: 3072 * rows }, (_, i) => i % 251));
  const labels = Buffer.from(Uint8Array.from({ length: rows }, (_, i) => (i % 10) + 1));
  return matFile(matrix('X', 9, [32, 32, 3, rows], 2, pixels), matrix('y', 9, [rows, 1], 2, labels));
}

/** Small files of each set's real format, on the server. */
const sets: Record<string, () => Promise<Small>> = {
  cifar10: () => tarred('cifar10', writeCifar10Binary(join(room, 'origin'), 4), { train: 20, test: 4 }),
  cifar100: () => tarred('cifar100', writeCifar100Binary(join(room, 'origin'), 20, 4), { train: 20, test: 4 }),
  svhn: async () => {
    files = { 'train_32x32.mat': mat(20), 'test_32x32.mat': mat(10) };
    const layout = {
      folder: 'svhn',
      files: Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, md5(bytes)])),
    };
    return { rows: { train: 20, test: 10 }, layouts: [layout] };
  },
  tinyimagenet: async () => {
    const name = 'tiny-imagenet-200';
    const entries: Record<string, Uint8Array> = {};
    for (const [k, wnid] of ['n01', 'n02'].entries())
      for (const i of [0, 1, 2]) entries[`${name}/train/${wnid}/images/${i}.JPEG`] = await jpeg(rgb(64, 2 * k + i), 64);
    entries[`${name}/val/images/v.JPEG`] = await jpeg(rgb(64, 1), 64);
    entries[`${name}/val/val_annotations.txt`] = Buffer.from('v.JPEG\tn02\t0\n');
    const archive = `${name}.zip`;
    files[archive] = Buffer.from(zipSync(entries));
    const { layouts } = SOURCES.tinyimagenet;
    return { archive: { name: archive, md5: md5(files[archive]) }, rows: { train: 6, test: 1 }, layouts };
  },
};

/** Fetches in a process of its own. @returns how it ended; `kill` ends it at once */
function fetching(name: string, small: Small) {
  const code = `
    import { fetchDataSet, SOURCES } from '${pathToFileURL(inject('fetch'))}';
    const { layouts, ...own } = JSON.parse(process.env.SMALL);
    const { count } = SOURCES['${name}'].layouts[0];
    const source = { ...own, layouts: layouts.map(layout => ({ ...layout, count })) };
    await fetchDataSet('${name}', process.env.DATA, { sources: { '${name}': source }, backoff: 1, attempts: 2 })
      .catch(error => { console.error(error.message); process.exitCode = 1; });`;
  const env = { ...process.env, DATA: data, SMALL: JSON.stringify({ ...small, baseUrl }) };
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { env });
  let stderr = '';
  child.stderr.on('data', text => {
    stderr += text;
  });
  const ended = new Promise<{ code: number | null; stderr: string }>(resolve => {
    child.on('close', exit => resolve({ code: exit, stderr: stderr.trim() }));
  });
  return { ended, kill: () => child.kill('SIGKILL') };
}

/** Every file below a folder with its checksum. */
function contents(folder: string): Record<string, string> {
  const all = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name => statSync(join(folder, name)).isFile());
  return sums(folder, all.sort());
}

describe.each(Object.keys(sets))('%s', name => {
  it('is whole after a download that was killed in the middle and one that goes on', async () => {
    const small = await sets[name]();
    const [first] = Object.keys(files);
    const own = join(data, small.layouts[0].folder);
    const part = join(small.archive ? data : own, `${first}.part`);
    silentAfter = Math.floor(files[first].length / 2);
    const { ended, kill } = fetching(name, small);
    await vi.waitFor(() => expect(existsSync(part) && statSync(part).size).toBe(silentAfter), { timeout: 20_000, interval: 20 });
    kill();
    expect((await ended).code).toBeNull();
    const half = silentAfter;
    silentAfter = Number.POSITIVE_INFINITY;
    expect(await fetching(name, small).ended).toEqual({ code: 0, stderr: '' });
    expect(asked.slice(0, 2)).toEqual(['all', `bytes=${half}-`]);
    expect(readdirSync(data)).toEqual([small.layouts[0].folder]);
    const sources = { [name]: { ...small, baseUrl } };
    expect(await verifyDataSet(name, data, { sources })).toEqual({ folder: own, rows: small.rows });
    const { train, val, test } = await openDataSet({ dataset: name, data });
    expect({ train: train.count + val.count, test: test.count }).toEqual(small.rows);
    const counted = name === 'tinyimagenet' && { counted: 7 }; // nothing is published that its files could be compared with
    expect(await fetchDataSet(name, data, { sources })).toEqual({ folder: own, downloaded: false, ...counted });
  });

  it('stays as it was where the server sends wrong bytes', async () => {
    const small = await sets[name]();
    const [first] = Object.keys(files);
    const right = files[first];
    const folder = small.layouts[0].folder;
    put(join(data, folder, 'train_32x32.mat'), 'an older file');
    put(join(data, folder, 'test_batch.bin'), 'another');
    const before = contents(data);
    files[first] = Buffer.from(right);
    files[first][Math.floor(right.length / 3)] ^= 4;
    const { code, stderr } = await fetching(name, small).ended;
    expect(code).toBe(1);
    expect(stderr).toBe(
      `${baseUrl}/${first}: wrong checksum ${md5(files[first])}, expected ${md5(right)}; discarded; try again, or name another server by --from`,
    );
    expect(contents(data)).toEqual(before);
    files[first] = right;
    expect((await fetching(name, small).ended).code).toBe(0);
    expect((await verifyDataSet(name, data, { sources: { [name]: { ...small, baseUrl } } })).rows).toEqual(small.rows);
  });
});

it('sparrow data fetch says what it only counted', async () => {
  const own = join(data, 'tiny-imagenet-200');
  for (const [split, each] of [
    ['train', 500],
    ['val', 50],
  ] as const) {
    for (let i = 0; i < each; i++) put(join(room, split, `${i}.JPEG`), '');
    mkdirSync(join(own, split), { recursive: true });
    for (let k = 0; k < 200; k++) symlinkSync(join(room, split), join(own, split, `n${k}`)); // empty files, each of them 200 times
  }
  const fetched = (...more: string[]) => {
    const args = [inject('command'), 'data', 'fetch', 'tinyimagenet', '--data', data, ...more];
    return execFileSync(process.execPath, args, { encoding: 'utf8' }).trim();
  };
  expect(fetched()).toBe(`tinyimagenet is in ${data}, 110000 images by count; \`sparrow data verify tinyimagenet\` decodes them`);
  expect(JSON.parse(fetched('--json'))).toEqual({ name: 'tinyimagenet', folder: data, verified: false });
});

it('sparrow data fetch --from takes nothing but the published files', async () => {
  await sets.cifar10();
  const own = join(data, 'cifar-10-batches-bin');
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'test_batch.bin'), 'old');
  const args = [inject('command'), 'data', 'fetch', 'cifar10', '--data', data, '--from', `${baseUrl}/`, '--quiet'];
  const child = spawn(process.execPath, args);
  let stderr = '';
  child.stderr.on('data', text => {
    stderr += text;
  });
  const code = await new Promise(resolve => child.on('close', resolve));
  const [archive] = Object.keys(files);
  const said = `${baseUrl}/${archive}: wrong checksum ${md5(files[archive])}, expected ${SOURCES.cifar10.archive!.md5}`;
  expect([code, stderr]).toEqual([1, expect.stringContaining(`sparrow: ${said}`)]);
  expect(contents(data)).toEqual({ 'cifar-10-batches-bin/test_batch.bin': md5(Buffer.from('old')) });
});
