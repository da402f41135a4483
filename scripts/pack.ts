/**
 * `npm run pack`: one archive that runs on a Linux machine with a GPU driver and without network or Node (docs/pack.md).
 * An argument names the folder that gets it (default: build).
 */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { version } from '../package.json';
import { commitOf } from '../src/cli/bench/record.ts';
import { unpackSwiftShader } from '../src/device/platform/swiftshader.ts';
import { bundleForNode, root, worker } from './bundle.ts';
import { archive } from './pack/archive.ts';
import { withoutSymbols } from './pack/elf.ts';

const limit = 45 * 2 ** 20;
const licence = { apache: 'scripts/pack/apache-2.0.txt', webgpu: 'node_modules/webgpu/LICENSE.md' };

/** The package names its licence and has no copy of it. */
const resvgLicence = `resvg, and its binding @resvg/resvg-wasm, are under the Mozilla Public License 2.0, https://mozilla.org/MPL/2.0/.
They are distributed here unchanged. Their source: https://github.com/thx/resvg-js and https://github.com/linebender/resvg.
`;

function fail(message: string): never {
  process.stderr.write(`pack: ${message}\n`);
  process.exit(1);
}

/** Copies a program or library without its symbols. */
function copyBinary(from: string, to: string): void {
  writeFileSync(to, withoutSymbols(readFileSync(from)), { mode: 0o755 });
}

/** The licence of this Node and of all that is built into it, from where installers put it. */
function nodeLicence(): string {
  const prefix = dirname(dirname(process.execPath));
  const places = ['LICENSE', 'share/doc/nodejs/LICENSE', 'share/doc/node/LICENSE'].map(place => join(prefix, place));
  return places.find(existsSync) ?? fail(`no licence of Node beside ${process.execPath}: use a Node with its LICENSE file`);
}

/** The licences of the packages inside the bundle, one after the other. */
function bundledLicences(packages: Iterable<string>): string {
  const parts = [...packages].sort().map(name => {
    const folder = join(root, 'node_modules', name);
    const file = readdirSync(folder).find(entry => /^licen[cs]e/i.test(entry)) ?? fail(`the package ${name} has no licence file`);
    return `${name}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
  });
  return parts.join(`\n${'-'.repeat(80)}\n\n`);
}

if (process.platform !== 'linux' || process.arch !== 'x64') fail('the pack is for Linux x64 and has to be made there');
const variables = Object.entries(process.config.variables as unknown as Record<string, unknown>);
const shared = variables.filter(([key, value]) => /^node_shared/.test(key) && (value === true || value === 'true'));
if (shared.length > 0) fail("this Node needs shared libraries of its distribution; make the pack with Node's own build");
const drivers = unpackSwiftShader() ?? fail('the package @sparticuz/chromium is missing: run npm ci');

const out = resolve(process.argv[2] ?? join(root, 'build'));
const name = `sparrow-${version}-linux-x64`;
const folder = join(out, name);
const lib = join(folder, 'lib');
rmSync(folder, { recursive: true, force: true });
for (const part of ['lib/vulkan', 'lib/node_modules/webgpu/dist/linux-x64', 'licences'])
  mkdirSync(join(folder, part), { recursive: true });

copyFileSync(join(root, 'scripts/pack/launcher.sh'), join(folder, 'sparrow'));
chmodSync(join(folder, 'sparrow'), 0o755);
copyFileSync(join(root, 'docs/pack.md'), join(folder, 'README.md'));

copyBinary(process.execPath, join(lib, 'node'));
const bundled = await bundleForNode({ sparrow: 'src/cli/main.ts', ...worker }, lib, [
  'webgpu',
  '@jsquash/jpeg',
  '@resvg/resvg-wasm',
]);
writeFileSync(join(lib, 'package.json'), '{ "type": "module" }\n');
writeFileSync(join(lib, 'commit'), `${commitOf(root) ?? ''}\n`);

for (const file of ['index.js', 'package.json'])
  copyFileSync(join(root, 'node_modules/webgpu', file), join(lib, 'node_modules/webgpu', file));
const dawn = 'node_modules/webgpu/dist/linux-x64/dawn.node';
copyBinary(join(root, dawn), join(lib, dawn));

const decoder = 'node_modules/@jsquash/jpeg';
for (const file of ['package.json', 'decode.js', 'meta.js', 'utils.js', 'codec/dec'])
  cpSync(join(root, decoder, file), join(lib, decoder, file), { recursive: true });

const rasteriser = 'node_modules/@resvg/resvg-wasm';
for (const file of ['package.json', 'index.mjs', 'index_bg.wasm'])
  cpSync(join(root, rasteriser, file), join(lib, rasteriser, file));
const font = 'node_modules/@fontsource/public-sans';
for (const file of ['package.json', ...[400, 600].map(weight => `files/public-sans-latin-${weight}-normal.woff2`)])
  cpSync(join(root, font, file), join(lib, font, file));

copyBinary(drivers.loader, join(lib, 'vulkan/libvulkan.so.1'));
copyBinary(join(dirname(drivers.icd), 'libvk_swiftshader.so'), join(lib, 'vulkan/libvk_swiftshader.so'));
copyFileSync(drivers.icd, join(lib, 'vulkan/vk_swiftshader_icd.json'));

copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
copyFileSync(nodeLicence(), join(folder, 'licences/node.txt'));
copyFileSync(join(root, licence.webgpu), join(folder, 'licences/dawn.txt'));
copyFileSync(join(root, decoder, 'LICENSE'), join(folder, 'licences/jpeg-decoder.txt'));
copyFileSync(join(root, decoder, 'codec/LICENSE.codec.md'), join(folder, 'licences/mozjpeg.txt'));
copyFileSync(join(root, font, 'LICENSE'), join(folder, 'licences/public-sans.txt'));
writeFileSync(join(folder, 'licences/resvg.txt'), resvgLicence);
copyFileSync(join(root, licence.apache), join(folder, 'licences/vulkan-loader-and-swiftshader.txt'));
writeFileSync(join(folder, 'licences/bundled-packages.txt'), bundledLicences(bundled));

const path = await archive(out, name, limit);
rmSync(folder, { recursive: true });
process.stdout.write(`${path} ${(statSync(path).size / 2 ** 20).toFixed(1)} MiB\n`);
