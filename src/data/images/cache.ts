/**
 * Decoded images kept between runs: one safetensors file for each list of files, `images` U8 [N, 3, H, W] and `kept` I32 [N], the positions
 * of the good files in the list. Its name is a hash of paths, sizes and times of change, so that a changed file is decoded anew.
 */
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readlinkSync, type Stats, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cacheFolder } from '../../device/platform/cache.ts';
import { FileError } from '../../errors.ts';
import { fileError, readSafetensors, writeSafetensors } from '../files.ts';
import { type Decoded, type DecodeOptions, decodeImages } from './decode.ts';

/** Larger sets are decoded in every run: Node reads no file beyond this at once. */
const LARGEST = 2 ** 31 - 2 ** 20;

/**
 * `decodeImages`, or what an earlier call with the same files kept in the cache folder (SPARROW_CACHE).
 * @param onNotice told when the cache cannot be written; the images are returned all the same
 * @throws FileError as `decodeImages` does; nothing is kept then
 */
export async function decodeCached(
  files: readonly string[],
  options: DecodeOptions & { readonly onNotice?: ((line: string) => void) | undefined },
): Promise<Decoded> {
  const folder = join(cacheFolder(), 'images');
  const path = join(folder, `${listKey(files, options)}.safetensors`);
  const found = existsSync(path) ? load(path) : undefined;
  if (found) return found;
  const decoded = await decodeImages(files, options);
  const { images, kept, size } = decoded;
  if (images.length > LARGEST) return decoded;
  try {
    mkdirSync(folder, { recursive: true });
    writeSafetensors(
      path,
      new Map([
        ['kept', { dtype: 'I32', shape: [kept.length], data: kept }],
        ['images', { dtype: 'U8', shape: [kept.length, 3, ...size], data: images }],
      ]),
    );
  } catch (error) {
    const { message } = error instanceof FileError ? error : fileError('write to folder', folder, error);
    options.onNotice?.(`decoded images are not kept for the next run: ${message}`);
  }
  return decoded;
}

function listKey(files: readonly string[], { size, skipCorrupt = false }: DecodeOptions): string {
  // the number is raised where earlier versions may have left good files out
  const hash = createHash('sha256').update(JSON.stringify(['images 2', size ?? null, skipCorrupt]));
  for (const file of files) {
    const { size: bytes, mtimeMs } = statOf(file);
    hash.update(`\n${resolve(file)}\0${bytes}\0${mtimeMs}`);
  }
  return hash.digest('hex').slice(0, 32);
}

function statOf(file: string): Stats {
  try {
    return statSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink())
      throw new FileError(`cannot read ${file}: it is a symbolic link to ${readlinkSync(file)}, which does not exist`);
    throw fileError('read', file, error);
  }
}

/** Undefined where the file is not whole: it is made again then. */
function load(path: string): Decoded | undefined {
  try {
    const { tensors } = readSafetensors(path);
    const { data: images, shape } = tensors.get('images')!;
    const [, , height, width] = shape;
    return { images: images as Uint8Array, size: [height, width], kept: tensors.get('kept')!.data as Int32Array };
  } catch (error) {
    if (error instanceof FileError) return undefined;
    throw error;
  }
}
