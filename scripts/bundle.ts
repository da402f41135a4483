/**
 * Bundles of this program for where no TypeScript and no `src` folder are: browsers, the published package and the offline pack. In a
 * bundle `#platform` and `#kernels` are decided, and the kernels' texts are inside.
 */
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';
import { wgslPlugin } from './wgsl-plugin.ts';

/** The thread that decodes images: bundles look for it beside their other files, under this name. */
export const worker = { 'decode-worker': 'src/data/images/decode-worker.ts' };

/** The project's folder, with a slash at its end. */
export const root = fileURLToPath(new URL('..', import.meta.url));

const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  legalComments: 'eof',
  logLevel: 'silent',
  plugins: [wgslPlugin(`${root}src/kernels/wgsl`)],
};

/**
 * One ES module for browsers from a TypeScript entry; its exports are the entry's. An import of a Node module anywhere below is an error.
 * @param entry relative to the project's folder
 */
export async function bundleForBrowser(entry: string): Promise<string> {
  const { outputFiles } = await build({
    ...common,
    entryPoints: [entry],
    platform: 'browser',
    target: 'es2022',
    write: false,
  });
  return outputFiles[0].text;
}

/**
 * ES modules for Node 20 in a folder: one for each entry, and `chunks/` with what entries share or load later.
 * @param entries output name (without ending) to TypeScript file, relative to the project's folder
 * @param external packages that stay imports; all others are bundled
 * @returns the names of the packages that are inside
 */
export async function bundleForNode(entries: Record<string, string>, folder: string, external: string[]): Promise<Set<string>> {
  const { metafile } = await build({
    ...common,
    entryPoints: entries,
    outdir: folder,
    chunkNames: 'chunks/[name]-[hash]',
    splitting: true,
    platform: 'node',
    target: 'node20.11',
    conditions: ['bundled'],
    external,
    metafile: true,
    // Packages in CommonJS ask for Node's own modules by `require`, which an ES module does not have.
    banner: { js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);" },
  });
  const packages = Object.keys(metafile.inputs).map(file => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]);
  return new Set(packages.filter(name => name !== undefined));
}
