/** What every result of `sparrow bench` says of where it was measured, and the files in which results are kept. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AdapterDescription } from '../../device/index.ts';
import { FileError } from '../../errors.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

export interface Circumstances {
  readonly adapter: AdapterDescription;
  readonly node: string;
  /** Version of the npm package `webgpu`, and with it of Dawn. */
  readonly webgpu: string;
  /** The processor, with how many of its cores there are. */
  readonly cpu: string;
  /** Of the checkout or the offline pack, with `+` where files differ from it; absent outside of both. */
  readonly commit?: string;
  /** ISO 8601. */
  readonly date: string;
}

export function circumstances(adapter: AdapterDescription): Circumstances {
  const commit = process.env.SPARROW_COMMIT || commitOf(root);
  const { version: webgpu } = createRequire(import.meta.url)('webgpu/package.json') as { version: string };
  const [core] = cpus();
  const cpu = `${core?.model.trim() ?? 'unknown'} x ${cpus().length}`;
  return { adapter, node: process.version, webgpu, cpu, ...(commit ? { commit } : {}), date: new Date().toISOString() };
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

/** Makes the file of `--out` with its folder where it is missing: before the work, not after it. @throws FileError where it cannot be written */
export const checkOut = (file: string): void => append(file, '');

/** Appends a result as one line. @throws FileError where the file cannot be written */
export const appendResult = (file: string, result: object): void => append(file, `${JSON.stringify(result)}\n`);

function append(file: string, text: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    appendFileSync(file, text);
  } catch (error) {
    throw new FileError(`--out ${file}: cannot be written (${(error as Error).message})`);
  }
}
