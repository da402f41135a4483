/** Texts that outlive the process, such as what was measured: files in the cache folder (Node). */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FileError, UsageError } from '../../errors.ts';
import { cacheFolder } from './cache.ts';

/** Where a text is kept, for messages. */
export function storedPlace(name: string): string {
  return join(cacheFolder(), `${name}.json`);
}

/** The text kept under a name; undefined where there is none yet. @throws FileError where it cannot be read */
export function readStored(name: string): string | undefined {
  const path = storedPlace(name);
  try {
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  } catch (error) {
    throw new FileError(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** Keeps a text, whole or not at all. @throws FileError where it cannot be written, naming the file and the way out */
export function writeStored(name: string, text: string): void {
  const path = storedPlace(name);
  const temporary = `${path}.${process.pid}`;
  try {
    mkdirSync(cacheFolder(), { recursive: true });
    try {
      writeFileSync(temporary, text);
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  } catch (error) {
    const reason = (error as Error).message;
    throw new FileError(`cannot write ${path}: ${reason}; set SPARROW_CACHE to a folder that can be written`, { cause: error });
  }
}

/** Whether kernels may be chosen by what was measured: not with SPARROW_TUNE=off. @throws UsageError for any other value than on and off */
export function usesMeasured(): boolean {
  const value = process.env.SPARROW_TUNE || 'on';
  if (value !== 'on' && value !== 'off')
    throw new UsageError(`environment variable SPARROW_TUNE must be on or off, got '${value}'`);
  return value === 'on';
}
