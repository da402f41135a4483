/** The folder for what can be made again: unpacked drivers, decoded images; and how folders are named by the environment. */
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** SPARROW_CACHE, else `sparrow` in the user's cache folder. */
export function cacheFolder(): string {
  const given = process.env.XDG_CACHE_HOME ?? '';
  const base = isAbsolute(given) ? given : join(homedir(), '.cache');
  return process.env.SPARROW_CACHE || join(base, 'sparrow');
}

/**
 * The folders that a variable of the XDG Base Directory Specification names. One that is empty counts as not set, and relative
 * paths are ignored.
 * @param otherwise the folders by default
 */
export function xdgFolders(value: string | undefined, ...otherwise: string[]): string[] {
  const given = (value ?? '').split(':').filter(isAbsolute);
  return given.length > 0 ? given : otherwise;
}
