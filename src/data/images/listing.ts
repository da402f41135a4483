/** Image files by class: a folder for each class, or a list of names with their classes. */
import { type Dirent, existsSync, readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { FileError } from '../../errors.ts';
import { fileError } from '../files.ts';

/** Files with the index of their class, class by class in the order of their names. */
export interface Listing {
  readonly files: readonly string[];
  readonly labels: readonly number[];
  /** Image files beside them whose formats are not read, by lower-case ending: `webp` => 12. */
  readonly unread?: ReadonlyMap<string, number>;
}

const isImage = (name: string) => /\.(jpe?g|png)$/i.test(name);
/** Endings of image files that are not read. */
const otherFormat = /\.(webp|bmp|gif|tiff?|avif|heic|heif|jp2|jxl|ppm|pgm)$/i;
const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);

/** What systems and tools put beside images: `._cat.png`, `.thumbnails`, `__MACOSX`. */
const isHidden = (name: string) => name.startsWith('.') || name === '__MACOSX';

function entries(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter(({ name }) => !isHidden(name))
      .sort(byName);
  } catch (error) {
    throw fileError('read', folder, error);
  }
}

/** The names of the class folders in `folder`, sorted. @throws FileError for fewer than two */
export function classNames(folder: string): string[] {
  const names = entries(folder)
    .filter(entry => !followed(entry, join(folder, entry.name))?.isFile())
    .map(({ name }) => name);
  if (names.length < 2)
    throw new FileError(`${folder} holds ${['no', 'only one'][names.length]} class folder: a data set needs at least 2`);
  return names;
}

/** Every image below the class folders of `folder`. @throws FileError for a class that is not in `classes`, or has no image */
export function listByFolder(folder: string, classes: readonly string[]): Listing {
  const files: string[] = [];
  const labels: number[] = [];
  const unread = new Map<string, number>();
  for (const name of classNames(folder)) {
    const label = classes.indexOf(name);
    if (label < 0) throw new FileError(`${join(folder, name)}: there is no such class among those of the training images`);
    const found = [...imagesBelow(join(folder, name), unread, [realpathSync(folder)])];
    if (found.length === 0) throw new FileError(`${join(folder, name)}: holds no JPEG or PNG file`);
    for (const file of found) {
      files.push(file);
      labels.push(label);
    }
  }
  return { files, labels, unread };
}

/**
 * The folder's own files first, then those of its folders, also where they are symbolic links; a link to a folder that it lies in
 * is left out. Counts what else are images into `unread`.
 * @param above the real paths of the folders through which this one was reached
 */
function* imagesBelow(folder: string, unread: Map<string, number>, above: readonly string[]): Generator<string> {
  const all = entries(folder);
  for (const { name } of all) {
    const [, other] = otherFormat.exec(name.toLowerCase()) ?? [];
    if (other) unread.set(other, (unread.get(other) ?? 0) + 1);
    if (isImage(name)) yield join(folder, name);
  }
  const inside = all.map(entry => join(folder, entry.name)).filter((path, i) => followed(all[i], path)?.isDirectory());
  if (inside.length === 0) return;
  const places = [...above, realpathSync(folder)];
  for (const path of inside) {
    const real = realpathSync(path);
    if (!places.some(place => isInside(place, real))) yield* imagesBelow(path, unread, places);
  }
}

/** Whether a path is `folder` or below it. */
const isInside = (path: string, folder: string) => !relative(folder, path).startsWith('..');

/** What an entry is, or leads to if it is a symbolic link; undefined where that leads nowhere. */
function followed(entry: Dirent, path: string): Dirent | Stats | undefined {
  try {
    return entry.isSymbolicLink() ? statSync(path, { throwIfNoEntry: false }) : entry;
  } catch (error) {
    throw fileError('read', path, error);
  }
}

/**
 * The images of lines `FILE <tab> CLASS ...`, in the order that folders by class would give.
 * @throws FileError for a line without a tab, a class that is not in `classes` or a file that is not there, naming the line
 */
export function listByLines(text: string, source: string, folder: string, classes: readonly string[]): Listing {
  const rows = text.split(/\r?\n/).flatMap((line, i) => {
    if (line === '') return [];
    const [name, wanted] = line.split('\t');
    if (wanted === undefined) throw new FileError(`${source}: line ${i + 1} has no tab between a file and its class`);
    const label = classes.indexOf(wanted);
    if (label < 0) throw new FileError(`${source}: line ${i + 1}: there is no class '${wanted}' among the training images`);
    const file = join(folder, name);
    if (!existsSync(file)) throw new FileError(`${source}: line ${i + 1}: ${file} is missing`);
    return [{ name, file, label }];
  });
  rows.sort((a, b) => a.label - b.label || byName(a, b));
  return { files: rows.map(({ file }) => file), labels: rows.map(({ label }) => label) };
}
