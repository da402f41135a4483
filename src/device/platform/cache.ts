/** The folder for what can be made again: unpacked drivers, decoded images. */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** SPARROW_CACHE, else `sparrow` in the user's cache folder. */
export function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  return process.env.SPARROW_CACHE ?? join(base, 'sparrow');
}
