/** The archive of a folder: gzip, which every system unpacks, or xz where that would be too large. */
import { spawnSync } from 'node:child_process';
import { renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { create } from 'tar';

/**
 * Writes `FOLDER/NAME.tar.gz` or `FOLDER/NAME.tar.xz` of the folder `FOLDER/NAME`.
 * @param limit the most bytes that it may have
 * @returns the archive's path
 * @throws Error where it does not fit, or would with xz but there is no `xz` command
 */
export async function archive(folder: string, name: string, limit: number): Promise<string> {
  const tar = join(folder, `${name}.tar`);
  const temporary = `${tar}.part`;
  try {
    await create({ file: temporary, cwd: folder, portable: true, gzip: { level: 9 } }, [name]);
    if (statSync(temporary).size <= limit) return finish(temporary, `${tar}.gz`);
    await create({ file: temporary, cwd: folder, portable: true }, [name]);
    const xz = spawnSync('xz', ['-9', '--force', '--suffix=.xz', temporary], { stdio: 'inherit' });
    if (xz.status !== 0) throw new Error(`with gzip ${name} is larger than ${limit} bytes, and xz failed: is it installed?`);
    if (statSync(`${temporary}.xz`).size <= limit) return finish(`${temporary}.xz`, `${tar}.xz`);
    throw new Error(`${name} is larger than ${limit} bytes, even with xz`);
  } finally {
    rmSync(temporary, { force: true });
    rmSync(`${temporary}.xz`, { force: true });
  }
}

function finish(temporary: string, path: string): string {
  renameSync(temporary, path);
  return path;
}
