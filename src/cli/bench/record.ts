/** What every result of `sparrow bench` says of where it was measured, and the files in which results are kept. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { AdapterDescription } from '../../device/index.ts';
import { FileError } from '../../errors.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

export interface Circumstances {
  readonly adapter: AdapterDescription;
  readonly node: string;
  /** Of the checkout or the offline pack, with `+` where files differ from it; absent outside of both. */
  readonly commit?: string;
  /** ISO 8601. */
  readonly date: string;
}

export function circumstances(adapter: AdapterDescription): Circumstances {
  const commit = process.env.SPARROW_COMMIT || commitOf(root);
  return { adapter, node: process.version, ...(commit ? { commit } : {}), date: new Date().toISOString() };
}

/** The commit of a checkout, with `+` where files differ from it. @param folder ends with a slash */
export function commitOf(folder: string): string | undefined {
  if (!existsSync(`${folder}.git`)) return undefined; // an installed package may lie inside of somebody else's repository
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--untracked-files=no') ? '+' : '');
  } catch {
    return undefined; // git is not installed
  }
}

/**
 * Appends a result as one line to `bench/results/NAME.jsonl` of the checkout.
 * @returns the file @throws FileError where it cannot be written
 */
export function saveResult(name: string, result: object): string {
  const folder = `${root}bench/results`;
  const file = `${folder}/${name}.jsonl`;
  if (!existsSync(`${root}bench`)) throw new FileError('--save works in a checkout of the project only (bench/results)');
  try {
    mkdirSync(folder, { recursive: true });
    appendFileSync(file, `${JSON.stringify(result)}\n`);
  } catch (error) {
    throw new FileError(`${file}: cannot be written (${(error as Error).message})`);
  }
  return file;
}
