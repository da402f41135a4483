/**
 * Downloads one file over HTTP so that a broken connection costs only what was not received: bytes go to `TARGET.part`, a retry or
 * a later run asks for the rest (RFC 9110, section 14: Range, If-Range), and the checksum decides at the end.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileError, UsageError } from '../errors.ts';
import { fileError } from './files.ts';

export interface Progress {
  /** Bytes on disk so far. */
  received: number;
  /** Bytes of the whole file, where the server said so. */
  total: number | undefined;
  /** Mean rate of this run, over its attempts and pauses. */
  bytesPerSecond: number;
}

export interface DownloadOptions {
  onProgress?: (progress: Progress) => void;
  /** Attempts in a row that may end without a new byte (6). */
  attempts?: number;
  /** Pause before the second such attempt in milliseconds, doubled for each further one (500). */
  backoff?: number;
  /** Milliseconds without a byte after which a connection counts as broken (30 000). */
  stall?: number;
  /** Stops the download; the part file stays for the next run. */
  signal?: AbortSignal;
}

/** The MD5 checksum of a file, in hexadecimal. @throws FileError if it cannot be read */
export async function md5(path: string): Promise<string> {
  const hash = createHash('md5');
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  } catch (error) {
    throw fileError('read', path, error);
  }
  return hash.digest('hex');
}

/** Awaits a call of `node:fs` that changes `path`. @throws FileError where it fails */
export async function changing<T>(path: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw fileError('write', path, error);
  }
}

/**
 * Downloads `url` to `target`, resuming `target.part` if there is one. `target` appears only when whole and right.
 * @param checksum the MD5 that the file must have
 * @throws FileError if the server refuses, the connection stays broken (the part file is kept), the checksum is wrong (the part
 * file is removed) or the disk cannot be written; UsageError if `url` is no address of HTTP
 */
export async function download(url: string, target: string, checksum: string, options: DownloadOptions = {}): Promise<void> {
  const { attempts = 6, backoff = 500, signal } = options;
  if (!/^https?:/i.test(url) || !URL.canParse(url)) throw new UsageError(`${url} is no http:// or https:// address`);
  const part = `${target}.part`;
  const meter: Meter = { bytes: 0, started: performance.now() };
  for (let idle = 0; ; ) {
    const before = meter.bytes;
    try {
      await receive(url, part, meter, options);
      break;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof FileError) throw error;
      idle = meter.bytes > before ? 1 : idle + 1;
      if (idle >= attempts) {
        const kept = await sizeOf(part);
        const further = kept > 0 ? `${kept} bytes are kept in ${part}, run again to go on` : 'run again';
        throw new FileError(`${url}: ${reason(error)}; ${further}`);
      }
      await sleep(backoff * 2 ** (idle - 1), undefined, { signal });
    }
  }
  const found = await md5(part);
  await changing(tagFile(part), rm(tagFile(part), { force: true }));
  if (found !== checksum) {
    await changing(part, rm(part, { force: true }));
    throw new FileError(
      `${url}: wrong checksum ${found}, expected ${checksum}; discarded; try again, or name another server by --from`,
    );
  }
  await changing(target, rename(part, target));
}

/** What this run received, over all attempts. */
interface Meter {
  bytes: number;
  readonly started: number;
}

/** One attempt: asks for what is missing and appends it. Returns when the server has sent all. */
async function receive(url: string, part: string, meter: Meter, options: DownloadOptions): Promise<void> {
  const { stall = 30_000, signal, onProgress } = options;
  const have = await sizeOf(part);
  const tag = have > 0 ? await readFile(tagFile(part), 'utf8').catch(() => undefined) : undefined;
  // A compressed transfer would be decoded on the way and could not be continued by byte position.
  const headers: Record<string, string> = { 'accept-encoding': 'identity' };
  if (tag !== undefined) Object.assign(headers, { range: `bytes=${have}-`, 'if-range': tag });
  const watch = new AbortController();
  const timer = setTimeout(() => watch.abort(new Error(`no data for ${stall / 1000} s`)), stall);
  try {
    const response = await fetch(url, { headers, signal: signal ? AbortSignal.any([watch.signal, signal]) : watch.signal });
    const start = await startOf(url, response, part, have);
    if (start === undefined) return;
    const length = response.headers.get('content-length');
    const total = length === null ? undefined : start + Number(length);
    const file = await changing(part, open(part, start > 0 ? 'a' : 'w'));
    try {
      await keepTag(part, response);
      let received = start;
      for await (const chunk of response.body ?? []) {
        await changing(part, file.appendFile(chunk));
        received += chunk.length;
        meter.bytes += chunk.length;
        onProgress?.({
          received,
          total,
          bytesPerSecond: meter.bytes / Math.max(1e-3, (performance.now() - meter.started) / 1000),
        });
        timer.refresh();
      }
    } finally {
      await changing(part, file.close());
    }
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The byte at which the body begins: `have` if the server continues (206), 0 if it starts anew (200: it knows no ranges, or the
 * file has changed), `undefined` if nothing is missing (416 with that length). Throws for any other answer, FileError if another
 * attempt is pointless.
 */
async function startOf(url: string, response: Response, part: string, have: number): Promise<number | undefined> {
  const { status } = response;
  const range = response.headers.get('content-range');
  if (status === 200) return 0;
  if (status === 206 && range?.startsWith(`bytes ${have}-`)) return have;
  await response.body?.cancel();
  if (status === 416 && range === `bytes */${have}`) return undefined;
  if (status === 206 || status === 416) {
    await changing(part, rm(part, { force: true }));
    throw new Error(`asked for bytes from ${have}, the server answered ${status} with '${range}'`);
  }
  if (status === 408 || status === 429 || status >= 500) throw new Error(`the server answered ${status}`);
  throw new FileError(`${url}: the server answered ${status} ${response.statusText}`.trimEnd());
}

/** Beside the part lies its validator, so that a later attempt asks for the rest of the same version only. */
const tagFile = (part: string) => `${part}.tag`;

/** Stores a strong ETag, else the date; without either the next attempt starts anew (RFC 9110, section 13.1.5). */
async function keepTag(part: string, response: Response): Promise<void> {
  const etag = response.headers.get('etag');
  const tag = etag?.startsWith('"') ? etag : response.headers.get('last-modified');
  const path = tagFile(part);
  await changing(path, tag === null ? rm(path, { force: true }) : writeFile(path, tag));
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    found => found.size,
    () => 0,
  );
}

/** fetch says "fetch failed" or "terminated" and keeps what happened as the cause. */
function reason(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message} (${cause.message})` : message;
}
