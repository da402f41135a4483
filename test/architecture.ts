/** The project's rules of who may import whom, as a function of its files' texts. */
import { isBuiltin } from 'node:module';
import { posix } from 'node:path';

/** Folders of `src`; each imports only from itself and from those before it. */
export const rooms = [
  'device',
  'kernels',
  'tensor',
  'autograd',
  'nn',
  'sparse',
  'adv',
  'data',
  'train',
  'report',
  'cli',
] as const;

/** The engine: runs in browsers, and depends on no package. */
const engine: readonly string[] = rooms.slice(0, rooms.indexOf('adv') + 1);

/** Rooms that come before, and still must not be known. */
const strangers: Readonly<Record<string, readonly string[]>> = {
  data: ['autograd', 'nn', 'sparse', 'adv'],
  report: engine,
};

/** Files that exist in Node only: they may import Node's modules. Everything else works in a browser too. */
const nodeOnly = [
  /^src\/device\/platform\/(node|cache|drivers|kernels-disk|lavapipe|patience|stderr|store-files|swiftshader)\.ts$/,
  /^src\/data\/(files|lock|download|fetch|cifar|mat|svhn|image-folder|tiny-imagenet|images\/[^/]+)\.ts$/,
  /^src\/train\/folder\.ts$/,
  /^src\/(report|cli)\//,
];

/** Packages of the engine, by the one file that may import each. */
const enginePackages: Readonly<Record<string, string>> = {
  webgpu: 'src/device/platform/node.ts',
  'virtual:wgsl': 'src/device/platform/kernels-bundled.ts',
};

/** What a module imports, types and `import()` included, as written. */
export function importsOf(text: string): string[] {
  const code = text.replace(/^\s*(\/\/|\/?\*).*$/gm, '');
  return [...code.matchAll(/\b(?:from|import)\s*\(?\s*'([^'\n]+)'/g)].map(match => match[1]);
}

/**
 * Every import that breaks a rule, as `FILE imports NAME: why`.
 * @param files texts by path from the project's folder, with slashes
 */
export function violations(files: ReadonlyMap<string, string>): string[] {
  const found: string[] = [];
  for (const [file, text] of files) {
    for (const name of importsOf(text)) {
      const why = name.startsWith('.') ? wrongFile(file, posix.join(posix.dirname(file), name)) : wrongModule(file, name);
      if (why) found.push(`${file} imports ${name}: ${why}`);
    }
  }
  return found;
}

const isNodeOnly = (file: string) => nodeOnly.some(pattern => pattern.test(file));
const roomOf = (file: string) => /^src\/([^/]+)\//.exec(file)?.[1] ?? '';

function wrongFile(from: string, to: string): string | undefined {
  if (to === 'src/errors.ts' || to === 'package.json') return undefined;
  const [own, other] = [roomOf(from), roomOf(to)];
  if (from.startsWith('web/')) {
    if (other === 'cli' || isNodeOnly(to)) return 'it does not run in a browser';
    return to.startsWith('web/') || to.startsWith('src/') ? undefined : 'it is neither of web nor of src';
  }
  if (!to.startsWith('src/')) return 'it lies outside of src';
  if (from === 'src/index.ts') return other === 'cli' ? 'the library has no command line' : undefined;
  if (own === other) return undefined;
  const [a, b] = [rooms.indexOf(own as never), rooms.indexOf(other as never)];
  if (a < 0 || b < 0) return 'it is in no room of the list';
  if (b > a) return `${own} comes before ${other}`;
  return strangers[own]?.includes(other) ? `${own} must not know ${other}` : undefined;
}

function wrongModule(from: string, name: string): string | undefined {
  if (name === '#platform')
    return ['device', 'kernels'].includes(roomOf(from)) ? undefined : 'only device and kernels know platforms';
  if (name === '#kernels') return from.startsWith('src/device/platform/') ? undefined : 'only a platform knows where kernels are';
  if (isBuiltin(name)) return isNodeOnly(from) ? undefined : 'the file is not among those that are for Node only';
  if (engine.includes(roomOf(from)) && enginePackages[name] !== from) return 'the engine depends on no package';
  return undefined;
}
