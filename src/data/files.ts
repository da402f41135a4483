/**
 * Files of a run, whole or not at all (Node). Every failure becomes a FileError that names the file and says in plain words what the
 * operating system refused. Calls are synchronous: nothing can come between two of them, not even an interrupt.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, sep } from 'node:path';
import { FileError } from '../errors.ts';
import { encodeSafetensors, parseSafetensors, type Safetensors, type StoredTensor } from './safetensors.ts';

/** What the operating system's error codes mean to the person who typed the path. */
const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EISDIR: 'it is a folder, not a file',
  EEXIST: 'a file of that name is in the way',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would be larger than allowed here',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'its symbolic links form a loop',
  ERR_FS_FILE_TOO_LARGE: 'it is larger than 2 GiB',
};

/** Ends the name of a file that is being written; before it stands the id of the process that writes it. */
const temporary = '.sparrow-tmp';
const temporaryName = (name: string) => `.${name}.${process.pid}${temporary}`;

/** A FileError for an error of `node:fs`: `cannot <verb> <path>: <reason>`. */
export function fileError(verb: string, path: string, error: unknown): FileError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' && verb !== 'read')
    return new FileError(`cannot ${verb} ${path}: its folder does not exist`, { cause: error });
  return new FileError(`cannot ${verb} ${path}: ${(code && reasons[code]) ?? message}`, { cause: error });
}

/** A whole file. @throws FileError if it cannot be read */
export function readFileBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw fileError('read', path, error);
  }
}

/** A whole UTF-8 file. @throws FileError if it cannot be read */
export function readFileText(path: string): string {
  return new TextDecoder().decode(readFileBytes(path));
}

/** What a JSON file holds. @throws FileError if it cannot be read or is not JSON */
export function readFileJson(path: string): unknown {
  const text = readFileText(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FileError(`${path}: is not valid JSON (${(error as Error).message})`);
  }
}

/**
 * Writes a file so that at every moment, a power cut included, `path` holds either its old content or all of the new: a temporary
 * file in the same folder, flushed to the disk, then renamed. A symbolic link is kept and its target replaced.
 * @throws FileError if any step fails; the temporary file is gone then and `path` is as it was
 */
export function writeFileAtomic(path: string, content: Uint8Array | string): void {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  try {
    const target = targetOf(path);
    const temp = join(dirname(target), temporaryName(basename(target)));
    const file = openSync(temp, 'w');
    try {
      writeAll(file, bytes);
      renameSync(temp, target);
    } catch (error) {
      rmSync(temp, { force: true });
      throw error;
    }
    flushFolder(dirname(target));
  } catch (error) {
    throw error instanceof FileError ? error : fileError('write', path, error);
  }
}

/** The file that is replaced when a path is written: where that is a symbolic link, what it leads to. @throws FileError if it is no file */
function targetOf(path: string): string {
  if (path.endsWith('/') || path.endsWith(sep))
    throw new FileError(`cannot write ${path}: that is a folder's name, not a file's`);
  const target = existsSync(path) ? realpathSync(path) : path;
  if (existsSync(target) && !statSync(target).isFile()) throw new FileError(`cannot write ${path}: it is not a regular file`);
  return target;
}

/** Writes, flushes and closes an open file. */
function writeAll(file: number, bytes: Uint8Array): void {
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Makes a rename last through a power cut. Where folders cannot be flushed (Windows, some network disks), the rename still holds. */
function flushFolder(path: string): void {
  try {
    const folder = openSync(path, 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch {
    // The data are in place; only their survival of a power cut in the next seconds is not certain.
  }
}

/**
 * Appends one line to a file and flushes it. A kill can leave a torn last line: what reads such a file again (`restoreMetrics`)
 * rewrites it whole.
 */
export function appendLine(path: string, line: string): void {
  try {
    writeAll(openSync(path, 'a'), new TextEncoder().encode(`${line}\n`));
  } catch (error) {
    throw fileError('write', path, error);
  }
}

/**
 * Makes a folder (and its parents), proves that a file can be written in it, and removes temporary files that killed processes
 * left there. @throws FileError if the folder cannot be used
 */
export function ensureWritableFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
    const probe = join(path, temporaryName('probe'));
    try {
      closeSync(openSync(probe, 'w'));
    } finally {
      rmSync(probe, { force: true });
    }
    for (const name of readdirSync(path)) if (isAbandoned(name)) rmSync(join(path, name), { force: true });
  } catch (error) {
    throw fileError('write to folder', path, error);
  }
}

/**
 * Proves, before the work of which a file is the result, that `writeFileAtomic` can write it, and makes its folder.
 * @throws FileError if it cannot
 */
export function ensureWritableFile(path: string): void {
  ensureWritableFolder(dirname(targetOf(path)));
}

/** Whether a name is that of a temporary file that nobody writes any more. This process writes none between two calls. */
function isAbandoned(name: string): boolean {
  const [, writer] = /\.(\d+)\.sparrow-tmp$/.exec(name) ?? [];
  return writer !== undefined && (Number(writer) === process.pid || !isRunning(Number(writer)));
}

/** Whether there is a process of this number on this host. */
export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0); // asks only
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // it runs, and is another user's
  }
}

/** The tensors and metadata of a safetensors file. @throws FileError if it cannot be read or is not valid */
export function readSafetensors(path: string): Safetensors {
  return parseSafetensors(readFileBytes(path), path);
}

/** Writes a safetensors file, whole or not at all. @throws FileError if it cannot be written */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  writeFileAtomic(path, encodeSafetensors(tensors, metadata));
}
