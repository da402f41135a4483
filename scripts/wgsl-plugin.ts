/** An esbuild plugin: the import name `virtual:wgsl` is a module that holds the text of every kernel file by its name. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Plugin } from 'esbuild';

/** @param folder where the `.wgsl` files lie */
export function wgslPlugin(folder: string): Plugin {
  return {
    name: 'wgsl',
    setup(build) {
      build.onResolve({ filter: /^virtual:wgsl$/ }, ({ path }) => ({ path, namespace: 'wgsl' }));
      build.onLoad({ filter: /.*/, namespace: 'wgsl' }, async () => {
        const files = (await readdir(folder)).filter(name => name.endsWith('.wgsl')).sort();
        const texts = files.map(async name => [basename(name, '.wgsl'), await readFile(join(folder, name), 'utf8')] as const);
        return {
          contents: JSON.stringify(Object.fromEntries(await Promise.all(texts))),
          loader: 'json',
          watchFiles: files.map(name => join(folder, name)),
        };
      });
    },
  };
}
