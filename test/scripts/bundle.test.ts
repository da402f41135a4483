/** Bundles do what the sources do: kernels are inside, the package that npm would publish runs, the library needs no Node. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import manifest from '../../package.json';
import { bundleForBrowser, bundleForNode, root } from '../../scripts/bundle.ts';
import * as here from '../browser/page.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sparrow-bundle-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function node(args: string[], cwd: string): string {
  return execFileSync(process.execPath, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

it('a bundle for Node computes the same, far from any kernel file', async () => {
  mkdirSync(join(folder, 'alone'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'alone/node_modules'));
  const packages = await bundleForNode({ page: 'test/browser/page.ts' }, join(folder, 'alone'), ['webgpu']);
  expect([...packages]).toEqual([]);
  const page = pathToFileURL(join(folder, 'alone/page.js')).href;
  const code = `import { kernels } from '${page}'; process.stdout.write(JSON.stringify(await kernels()));`;
  expect(JSON.parse(node(['--input-type=module', '-e', code], folder))).toEqual(await here.kernels());
});

it('says which packages are inside', async () => {
  expect([...(await bundleForNode({ program: 'src/cli/options.ts' }, join(folder, 'program'), []))]).toEqual(['commander']);
});

it('the library fits a browser: nothing in it asks for Node', async () => {
  const text = await bundleForBrowser('src/index.ts');
  expect(text.includes('navigator.gpu')).toBe(true);
  expect(/\b(from|import)\s*\(?\s*"(node:|webgpu)/.exec(text)).toBeNull();
});

it('refuses what a browser cannot run', async () => {
  await expect(bundleForBrowser('src/data/files.ts')).rejects.toThrow('Could not resolve "node:fs"');
});

describe('the published package', () => {
  const installed = () => join(folder, 'user/node_modules', manifest.name);

  beforeAll(async () => {
    node(['scripts/run.js', 'scripts/build.ts'], root);
    for (const entry of [...manifest.files, 'package.json'])
      cpSync(join(root, entry), join(installed(), entry), { recursive: true });
    for (const name of Object.keys(manifest.dependencies)) {
      mkdirSync(join(folder, 'user/node_modules', name, '..'), { recursive: true });
      symlinkSync(join(root, 'node_modules', name), join(folder, 'user/node_modules', name));
    }
  });

  it('has the command line, which starts without a checkout', () => {
    expect(node([join(installed(), manifest.bin.sparrow), '--version'], folder)).toBe(`${manifest.version}\n`);
    const { adapters } = JSON.parse(node([join(installed(), manifest.bin.sparrow), 'adapters', '--json'], folder));
    expect(adapters).toHaveLength(3);
  });

  it('does not bring the large package that SwiftShader is taken from', () => {
    expect(Object.keys(manifest.dependencies)).not.toContain('@sparticuz/chromium');
    const { adapters } = JSON.parse(node([join(installed(), manifest.bin.sparrow), 'adapters', '--json'], folder));
    expect(adapters[2]).toEqual({ kind: 'swiftshader', usable: false, refused: expect.stringContaining('@sparticuz/chromium') });
  });

  it('is imported by its name', () => {
    const code = `import * as library from '${manifest.name}'; process.stdout.write(typeof library.openDevice);`;
    expect(node(['--input-type=module', '-e', code], join(folder, 'user'))).toBe('function');
  });

  it('has types that a strict project accepts, and that refuse what is wrong', () => {
    const user = join(folder, 'user');
    const settings = { module: 'nodenext', target: 'es2022', strict: true, noEmit: true, types: [] };
    writeFileSync(join(user, 'package.json'), '{ "type": "module" }');
    const program = (type: string) =>
      `import { type Device, openDevice } from '${manifest.name}';\n` +
      `const device: Device = await openDevice({ adapter: 'gpu' });\nconst live: ${type} = device.stats.live;\nconsole.log(live, device.gpu.features);\n`;
    const check = (type: string) => {
      writeFileSync(join(user, 'a.ts'), program(type));
      writeFileSync(join(user, 'tsconfig.json'), JSON.stringify({ compilerOptions: settings, files: ['a.ts'] }));
      return node([join(root, 'node_modules/typescript/bin/tsc'), '-p', user], user);
    };
    expect(check('number')).toBe('');
    expect(() => check('string')).toThrow();
  });

  it('consists of files that exist', () => {
    const paths = [...Object.values(manifest.exports['.']), manifest.bin.sparrow, 'dist/sparrow.js'];
    expect(paths.filter(path => !existsSync(join(installed(), path)))).toEqual([]);
  });
});
