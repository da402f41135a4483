/** Downloads from a real server that breaks off, knows no ranges, changes its file, lies or is silent; then unpacking and verifying. */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import * as tar from 'tar';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fetchDataSet, type Progress, SOURCES, type Source, verifyDataSet } from '../../src/data/fetch.ts';
import { openDataSet } from '../../src/data/index.ts';
import { FileError, UsageError } from '../../src/errors.ts';
import { CLASSES, writeCifar10Binary, writeCifar10Python } from './cifar-writer.ts';
import { jpeg, rgb } from './image-writer.ts';
import { pickle2 } from './pickle-writer.ts';

const ARCHIVE = 'cifar-10-binary.tar.gz';
const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

let room: string;
let folder: string;
let archive: Buffer;
let sources: Record<string, Source>;
let server: Server;
/** What each request asked for: its Range header, or 'all'. */
let asked: string[];
let answer: (request: IncomingMessage, response: ServerResponse) => void;

beforeEach(async () => {
  room = mkdtempSync(join(tmpdir(), 'sparrow-fetch-'));
  folder = join(room, 'data');
  vi.stubEnv('SPARROW_CACHE', join(room, 'cache'));
  const origin = join(room, 'origin');
  const own = writeCifar10Binary(origin, 40);
  writeFileSync(join(own, 'readme.html'), 'not read');
  await tar.create({ file: join(room, 'a.tar.gz'), gzip: true, cwd: origin }, ['cifar-10-batches-bin']);
  archive = readFileSync(join(room, 'a.tar.gz'));
  const sums = (dir: string, names: string[]) => Object.fromEntries(names.map(n => [n, md5(readFileSync(join(dir, n)))]));
  const python = writeCifar10Python(join(room, 'python'), 40);
  const [binaryLayout, pythonLayout] = SOURCES.cifar10.layouts;
  asked = [];
  answer = (request, response) => send(request, response);
  server = createServer((request, response) => {
    asked.push(request.headers.range ?? 'all');
    answer(request, response);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  sources = {
    cifar10: {
      baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/files`,
      archive: { name: ARCHIVE, md5: md5(archive) },
      rows: { train: 200, test: 40 },
      layouts: [
        { folder: binaryLayout.folder, files: sums(own, Object.keys(binaryLayout.files)) },
        { folder: pythonLayout.folder, files: sums(python, Object.keys(pythonLayout.files)) },
      ],
    },
  };
});

afterEach(async () => {
  vi.unstubAllEnvs();
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
  rmSync(room, { recursive: true, force: true });
});

/** A server as it should be, of `bytes` with `etag`; with `cut`, it closes the connection after so many bytes of the body. */
function send(
  request: IncomingMessage,
  response: ServerResponse,
  { bytes = archive, etag = '"one"', cut }: { bytes?: Buffer; etag?: string; cut?: number } = {},
): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const part = from > 0 && request.headers['if-range'] === etag;
  if (part && from >= bytes.length) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
    return;
  }
  const body = part ? bytes.subarray(from) : bytes;
  response.writeHead(part ? 206 : 200, {
    etag,
    'content-length': body.length,
    ...(part && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
  });
  if (cut === undefined || cut >= body.length) response.end(body);
  else response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 60));
}

const options = () => ({ sources, backoff: 1, attempts: 3 });
const part = () => join(folder, `${ARCHIVE}.part`);

/** The data set is there, right, and nothing else is. */
async function expectFetched(): Promise<void> {
  expect(readdirSync(folder)).toEqual(['cifar-10-batches-bin']);
  expect((await verifyDataSet('cifar10', folder, { sources })).rows).toEqual({ train: 200, test: 40 });
}

describe('fetchDataSet', () => {
  it('downloads, unpacks and reports progress; a second call finds it there', async () => {
    const seen: Progress[] = [];
    const result = await fetchDataSet('cifar10', folder, { ...options(), onProgress: p => seen.push(p) });
    expect(result).toEqual({ folder: join(folder, 'cifar-10-batches-bin'), downloaded: true });
    await expectFetched();
    expect((await openDataSet({ dataset: 'cifar10', data: folder })).train.count).toBe(180);
    const last = seen.at(-1)!;
    expect(last).toMatchObject({ received: archive.length, total: archive.length });
    expect(last.bytesPerSecond).toBeGreaterThan(0);
    expect(seen.every((p, i) => i === 0 || p.received > seen[i - 1].received)).toBe(true);
    expect(await fetchDataSet('cifar10', folder, options())).toMatchObject({ downloaded: false });
    expect(asked).toEqual(['all']);
  });

  it('finds another layout there; one that is read before it has to be whole too', async () => {
    const python = writeCifar10Python(folder, 40);
    expect(await fetchDataSet('cifar10', folder, options())).toEqual({ folder: python, downloaded: false });
    expect(asked).toEqual([]);
    writeCifar10Binary(folder, 2);
    expect(await fetchDataSet('cifar10', folder, options())).toMatchObject({ downloaded: true });
    rmSync(python, { recursive: true });
    await expectFetched();
    writeFileSync(join(writeCifar10Python(folder, 40), 'test_batch'), 'damaged');
    rmSync(join(folder, 'cifar-10-batches-bin'), { recursive: true });
    expect(await fetchDataSet('cifar10', folder, options())).toMatchObject({ downloaded: true });
  });

  it('asks another server when told to', async () => {
    const { baseUrl } = sources.cifar10;
    sources.cifar10.baseUrl = 'http://127.0.0.1:1/nobody';
    await fetchDataSet('cifar10', folder, { ...options(), baseUrl: `${baseUrl}/` });
    await expectFetched();
  });

  it('goes on where the connection broke, as often as it breaks', async () => {
    const cut = Math.ceil(archive.length / 5);
    answer = (request, response) => send(request, response, { cut });
    const totals = new Set<number | undefined>();
    await fetchDataSet('cifar10', folder, { ...options(), attempts: 2, onProgress: p => totals.add(p.total) });
    expect(asked).toEqual(['all', ...[1, 2, 3, 4].map(n => `bytes=${n * cut}-`)]);
    expect([...totals]).toEqual([archive.length]);
    await expectFetched();
  });

  it('speaks of what it keeps only where there is something', async () => {
    answer = request => request.socket.destroy();
    await expect(fetchDataSet('cifar10', folder, options())).rejects.toThrow(/: fetch failed \(.+\); run again$/);
  });

  it('keeps what it has when it gives up, and goes on in the next run', async () => {
    let down = false;
    answer = (request, response) => {
      if (down) request.socket.destroy();
      else send(request, response, { cut: 1000 });
      down = true;
    };
    const fetching = fetchDataSet('cifar10', folder, options());
    await expect(fetching).rejects.toThrow(/: fetch failed \(.+\); 1000 bytes are kept in .*\.part, run again to go on$/);
    await expect(fetching).rejects.toThrow(FileError);
    expect(asked).toHaveLength(3);
    answer = (request, response) => send(request, response);
    await fetchDataSet('cifar10', folder, options());
    expect(asked.at(-1)).toBe('bytes=1000-');
    await expectFetched();
  });

  it('starts anew where the server knows no ranges', async () => {
    answer = (request, response) => {
      request.headers.range = undefined;
      send(request, response, { cut: asked.length === 1 ? 3000 : undefined });
    };
    await fetchDataSet('cifar10', folder, options());
    expect(asked).toEqual(['all', 'bytes=3000-']);
    await expectFetched();
  });

  it('starts anew where the file has changed in between', async () => {
    const old = Buffer.alloc(archive.length, 7);
    answer = (request, response) =>
      asked.length === 1 ? send(request, response, { bytes: old, cut: 3000 }) : send(request, response, { etag: '"two"' });
    await fetchDataSet('cifar10', folder, options());
    expect(asked).toEqual(['all', 'bytes=3000-']);
    await expectFetched();
  });

  it('starts anew where the server sends another range than asked for', async () => {
    answer = (request, response) => {
      if (asked.length === 2) response.writeHead(206, { 'content-range': `bytes 0-9/${archive.length}` }).end('0123456789');
      else send(request, response, { cut: asked.length === 1 ? 3000 : undefined });
    };
    await fetchDataSet('cifar10', folder, options());
    expect(asked).toEqual(['all', 'bytes=3000-', 'all']);
    await expectFetched();
  });

  it('takes a part that is whole already', async () => {
    mkdirSync(folder);
    writeFileSync(part(), archive);
    writeFileSync(`${part()}.tag`, '"one"');
    await fetchDataSet('cifar10', folder, options());
    expect(asked).toEqual([`bytes=${archive.length}-`]);
    await expectFetched();
  });

  it('refuses wrong bytes, discards them and keeps the old data', async () => {
    const old = writeCifar10Binary(folder, 2);
    const before = readFileSync(join(old, 'test_batch.bin'));
    const wrong = Buffer.from(archive);
    wrong[500] ^= 1;
    answer = (request, response) => send(request, response, { bytes: wrong });
    const fetching = fetchDataSet('cifar10', folder, options());
    await expect(fetching).rejects.toThrow(`wrong checksum ${md5(wrong)}, expected ${md5(archive)}`);
    expect(readdirSync(folder)).toEqual(['cifar-10-batches-bin']);
    expect(readFileSync(join(old, 'test_batch.bin'))).toEqual(before);
    answer = (request, response) => send(request, response);
    await fetchDataSet('cifar10', folder, options());
    await expectFetched();
  });

  it('does not insist where the server says no, and does where it is only busy', async () => {
    answer = (_, response) => response.writeHead(404).end();
    await expect(fetchDataSet('cifar10', folder, options())).rejects.toThrow(`${ARCHIVE}: the server answered 404 Not Found`);
    expect(asked).toHaveLength(1);
    answer = (request, response) => (asked.length < 4 ? response.writeHead(503).end() : send(request, response));
    await fetchDataSet('cifar10', folder, options());
    await expectFetched();
  });

  it('takes silence for a broken connection', async () => {
    answer = (request, response) => {
      if (asked.length > 1) send(request, response);
      else {
        response.writeHead(200, { etag: '"one"', 'content-length': archive.length });
        response.write(archive.subarray(0, 2000));
      }
    };
    await fetchDataSet('cifar10', folder, { ...options(), stall: 200 });
    expect(asked).toEqual(['all', 'bytes=2000-']);
    await expectFetched();
  });

  it('stops at a signal and keeps the part', async () => {
    const controller = new AbortController();
    answer = (_, response) => {
      response.writeHead(200, { etag: '"one"', 'content-length': archive.length });
      response.write(archive.subarray(0, 2000));
    };
    const fetching = fetchDataSet('cifar10', folder, {
      ...options(),
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('interrupted')),
    });
    await expect(fetching).rejects.toThrow('interrupted');
    expect(asked).toHaveLength(1);
    expect(statSync(part()).size).toBe(2000);
  });

  it('refuses an archive without the data set, and leaves no half of it', async () => {
    writeFileSync(join(room, 'stray.txt'), 'x');
    await tar.create({ file: join(room, 'b.tar.gz'), gzip: true, cwd: room }, ['stray.txt']);
    const other = readFileSync(join(room, 'b.tar.gz'));
    sources.cifar10.archive = { name: ARCHIVE, md5: md5(other) };
    answer = (request, response) => send(request, response, { bytes: other });
    await expect(fetchDataSet('cifar10', folder, options())).rejects.toThrow(
      /cannot be unpacked: data_batch_1\.bin, .* not in its folder cifar-10-batches-bin$/,
    );
    expect(readdirSync(folder)).toEqual([ARCHIVE]);
  });

  it('names what cannot be fetched and where nothing can be written', async () => {
    await expect(fetchDataSet('shapes', folder)).rejects.toThrow(
      new UsageError("'shapes' is no data set to fetch: cifar10, cifar100, svhn, tinyimagenet are"),
    );
    for (const baseUrl of ['toronto', 'file:///tmp', 'http://:x'])
      await expect(fetchDataSet('cifar10', folder, { ...options(), baseUrl })).rejects.toThrow(
        new UsageError(`${baseUrl}/${ARCHIVE} is no http:// or https:// address`),
      );
    writeFileSync(join(room, 'file'), '');
    await expect(fetchDataSet('cifar10', join(room, 'file'), options())).rejects.toThrow(/file cannot be made: EEXIST/);
    expect(existsSync(join(room, 'file.part'))).toBe(false);
  });
});

describe('what other runs do or left', () => {
  it('two at once do not disturb each other: the second is told who is at work', async () => {
    const both = await Promise.allSettled([1, 2].map(() => fetchDataSet('cifar10', folder, options())));
    const [done] = both.flatMap(end => (end.status === 'fulfilled' ? [end.value] : []));
    const [refused] = both.flatMap(end => (end.status === 'rejected' ? [end.reason] : []));
    expect(done).toEqual({ folder: join(folder, 'cifar-10-batches-bin'), downloaded: true });
    expect(refused).toBeInstanceOf(FileError);
    expect(refused.message).toBe(
      `another sparrow (process ${process.pid} on ${hostname()}) is fetching cifar10 into ${folder}; ` +
        `wait until it is done, or remove ${join(folder, 'cifar-10-batches-bin.lock')} if it is gone`,
    );
    expect(asked).toEqual(['all']);
    await expectFetched();
  });

  it('puts back what a run was replacing when it was killed', async () => {
    await fetchDataSet('cifar10', folder, options());
    const own = join(folder, 'cifar-10-batches-bin');
    mkdirSync(join(`${own}.unpack-a1b2c3`, 'cifar-10-batches-bin'), { recursive: true });
    renameSync(own, join(`${own}.unpack-a1b2c3`, 'old'));
    expect(await fetchDataSet('cifar10', folder, options())).toEqual({ folder: own, downloaded: false });
    expect(asked).toEqual(['all']);
    await expectFetched();
  });

  it('removes what a run left that was killed after it had put the new folder in its place', async () => {
    await fetchDataSet('cifar10', folder, options());
    const room = join(folder, 'cifar-10-batches-bin.unpack-a1b2c3');
    writeCifar10Binary(room, 2);
    renameSync(join(room, 'cifar-10-batches-bin'), join(room, 'old'));
    writeFileSync(join(folder, ARCHIVE), archive);
    expect(await fetchDataSet('cifar10', folder, options())).toMatchObject({ downloaded: false });
    await expectFetched();
  });

  it('names the path that is not what it should be', async () => {
    mkdirSync(join(folder, ARCHIVE), { recursive: true });
    const fetching = fetchDataSet('cifar10', folder, options());
    await expect(fetching).rejects.toThrow(new FileError(`cannot read ${join(folder, ARCHIVE)}: it is a folder, not a file`));
  });
});

describe('a data set of single files', () => {
  it('goes on with the file that broke off, refuses wrong bytes and keeps the old file', async () => {
    const files: Record<string, Buffer> = { 'train_32x32.mat': Buffer.alloc(5000, 1), 'test_32x32.mat': Buffer.alloc(3000, 2) };
    const { baseUrl } = sources.cifar10;
    const sumsOf = Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, md5(bytes)]));
    sources.svhn = { baseUrl, rows: { train: 1, test: 1 }, layouts: [{ folder: 'svhn', files: sumsOf }] };
    const own = join(folder, 'svhn');
    mkdirSync(own, { recursive: true });
    const old = join(own, 'test_32x32.mat');
    writeFileSync(old, 'old');
    let lying = true;
    answer = (request, response) => {
      const name = request.url!.split('/').at(-1)!;
      const bytes = lying && name.startsWith('test') ? Buffer.alloc(3000, 3) : files[name];
      send(request, response, { bytes, cut: asked.length === 1 ? 1200 : undefined });
    };
    await expect(fetchDataSet('svhn', folder, options())).rejects.toThrow(/test_32x32\.mat: wrong checksum/);
    expect(asked).toEqual(['all', 'bytes=1200-', 'all']);
    expect(readFileSync(old, 'utf8')).toBe('old');
    lying = false;
    expect(await fetchDataSet('svhn', folder, options())).toEqual({ folder: own, downloaded: true });
    expect(asked).toHaveLength(4);
    for (const [name, bytes] of Object.entries(files)) expect(readFileSync(join(own, name))).toEqual(bytes);
    expect(await fetchDataSet('svhn', folder, options())).toEqual({ folder: own, downloaded: false });
  });
});

describe('a data set in a zip archive', () => {
  it('is unpacked, counted, and decoded to be verified', async () => {
    const name = 'tiny-imagenet-200';
    const image = await jpeg(rgb(64, 3), 64);
    const entries: Record<string, Uint8Array> = { 'stray.txt': Buffer.from('x'), [`${name}/../out.txt`]: Buffer.from('x') };
    for (const wnid of ['n01', 'n02']) for (const i of [0, 1]) entries[`${name}/train/${wnid}/images/${i}.JPEG`] = image;
    entries[`${name}/val/images/v.JPEG`] = image;
    entries[`${name}/val/val_annotations.txt`] = Buffer.from('v.JPEG\tn02\t0\n');
    archive = Buffer.from(zipSync(entries));
    sources.tinyimagenet = {
      ...SOURCES.tinyimagenet,
      baseUrl: sources.cifar10.baseUrl,
      archive: { name: `${name}.zip`, md5: md5(archive) },
      rows: { train: 4, test: 1 },
    };
    const own = join(folder, name);
    expect(await fetchDataSet('tiny-imagenet', folder, options())).toEqual({ folder: own, downloaded: true });
    expect(readdirSync(folder)).toEqual([name]);
    expect(await fetchDataSet('tinyimagenet', folder, options())).toEqual({ folder: own, downloaded: false, counted: 5 });
    const verify = () => verifyDataSet('tinyimagenet', folder, { sources });
    expect((await verify()).rows).toEqual({ train: 4, test: 1 });
    truncateSync(join(own, 'train', 'n01', 'images', '1.JPEG'), 300);
    await expect(verify()).rejects.toThrow(/1\.JPEG cannot be decoded/);
    rmSync(join(own, 'train', 'n01', 'images', '1.JPEG'));
    await expect(verify()).rejects.toThrow(/tinyimagenet has 3 train rows there, the published set 4$/);
    expect(await fetchDataSet('tinyimagenet', folder, options())).toMatchObject({ downloaded: true });
  });
});

describe('verifyDataSet', () => {
  it('accepts both layouts, and the folder itself', async () => {
    const own = join(room, 'origin', 'cifar-10-batches-bin');
    const rows = { train: 200, test: 40 };
    expect(await verifyDataSet('cifar10', join(room, 'origin'), { sources })).toEqual({ folder: own, rows });
    expect(await verifyDataSet('cifar10', own, { sources })).toEqual({ folder: own, rows });
    const python = join(room, 'python', 'cifar-10-batches-py');
    expect(await verifyDataSet('cifar10', join(room, 'python'), { sources })).toEqual({ folder: python, rows });
  });

  it('insists on the row counts of the published set', async () => {
    truncateSync(join(room, 'origin', 'cifar-10-batches-bin', 'data_batch_3.bin'), 10 * 3073);
    const verifying = verifyDataSet('cifar10', join(room, 'origin'), { sources });
    await expect(verifying).rejects.toThrow(/origin: cifar10 has 170 train rows there, the published set 200$/);
  });

  it('looks at the names of the classes where their checksum is published', async () => {
    const names = join(room, 'python', 'cifar-10-batches-py', 'batches.meta');
    const verifying = () => verifyDataSet('cifar10', join(room, 'python'), { sources });
    writeFileSync(names, pickle2({ label_names: [...CLASSES].reverse() }));
    await expect(verifying()).rejects.toThrow(/batches\.meta: wrong checksum/);
    rmSync(names);
    await expect(verifying()).rejects.toThrow(new FileError(`cannot read ${names}: it does not exist`));
  });

  it('finds one changed pixel', async () => {
    const path = join(room, 'origin', 'cifar-10-batches-bin', 'data_batch_3.bin');
    const bytes = readFileSync(path);
    bytes[100] ^= 1;
    writeFileSync(path, bytes);
    const verifying = verifyDataSet('cifar10', join(room, 'origin'), { sources });
    await expect(verifying).rejects.toThrow(
      /data_batch_3\.bin: wrong checksum [0-9a-f]{32}, the published file has [0-9a-f]{32}$/,
    );
  });
});
