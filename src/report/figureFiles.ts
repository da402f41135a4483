/** The figures of a report as files of their own: an SVG and a PNG each. */
import { join } from 'node:path';
import { ensureWritableFolder, writeFileAtomic } from '../data/files.ts';
import type { Figure } from './figure.ts';
import { rasterise } from './rasterise.ts';

/**
 * Writes each figure as SVG and as PNG into a folder, which is made if needed.
 * @param onFigure told of each figure that is written @returns the files' paths @throws FileError where a file cannot be written
 */
export async function writeFigures(
  figures: readonly Figure[],
  folder: string,
  onFigure?: (done: number, total: number) => void,
): Promise<string[]> {
  ensureWritableFolder(folder);
  const names = fileNames(figures.map(figure => figure.title));
  const written: string[] = [];
  for (const [i, figure] of figures.entries()) {
    const svg = standAlone(figure);
    for (const [ending, content] of [
      ['svg', svg],
      ['png', await rasterise(svg)],
    ] as const) {
      const path = join(folder, `${names[i]}.${ending}`);
      writeFileAtomic(path, content);
      written.push(path);
    }
    onFigure?.(i + 1, figures.length);
  }
  return written;
}

/** A figure as an SVG document: the light colours instead of the page's variables, a size, and white behind it. */
export function standAlone(figure: Figure): string {
  const [, width, height] = /viewBox="0 0 (\S+) ([^"]+)"/.exec(figure.source) ?? [];
  const margin = 10;
  const [w, h] = [Number(width) + 2 * margin, Number(height) + 2 * margin];
  const inside = figure.source
    .replace(/var\(--[\w-]+, (#[0-9a-f]{6})\)/g, '$1')
    .replace(/viewBox="[^"]*"/, `width="${w}" height="${h}" viewBox="${-margin} ${-margin} ${w} ${h}"`)
    .replace('</desc>', `</desc><rect x="${-margin}" y="${-margin}" width="${w}" height="${h}" fill="#ffffff"/>`);
  return `<?xml version="1.0" encoding="UTF-8"?>\n${inside}\n`;
}

/** Names of files from titles: 'Density: Flying Bird+' is 'density-flying-bird-plus'; a name that is taken gets a number. */
export function fileNames(titles: readonly string[]): string[] {
  const taken = new Set<string>();
  for (const title of titles) {
    const words = title
      .toLowerCase()
      .replaceAll('+', ' plus ')
      .match(/[a-z0-9]+/g) ?? ['figure'];
    const name = words.join('-').slice(0, 80);
    let own = name;
    for (let number = 2; taken.has(own); number++) own = `${name}-${number}`;
    taken.add(own);
  }
  return [...taken];
}
