/**
 * The embedded software adapter: SwiftShader and a Vulkan loader as they travel inside the npm package `@sparticuz/chromium`, unpacked
 * once into a cache folder. No root, no system package.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { FileError } from '../../errors.ts';
import { cacheFolder } from './cache.ts';

export interface Unpacked {
  /** Vulkan's description of the driver, for VK_ICD_FILENAMES. */
  icd: string;
  /** A Vulkan loader for machines without one. */
  loader: string;
}

/**
 * Unpacks SwiftShader where it is not yet. SPARROW_DRIVERS names a folder where it already lies unpacked (the offline pack sets it).
 * @returns undefined where the package is not installed (a library install does not bring it), or not for this platform
 * @throws FileError where it cannot be unpacked into the cache folder, with the way out
 */
export function unpackSwiftShader(): Unpacked | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  if (process.env.SPARROW_DRIVERS) return filesIn(process.env.SPARROW_DRIVERS);
  let archive: string;
  let version: string;
  try {
    const main = createRequire(import.meta.url).resolve('@sparticuz/chromium');
    const root = main.slice(0, main.indexOf('@sparticuz/chromium') + '@sparticuz/chromium'.length);
    archive = join(root, 'bin', 'swiftshader.tar.br');
    version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;
    if (!existsSync(archive)) return undefined;
  } catch {
    return undefined;
  }
  const folder = join(cacheFolder(), `swiftshader-${version}`);
  if (!existsSync(folder)) unpack(archive, folder);
  return filesIn(folder);
}

function filesIn(folder: string): Unpacked {
  return { icd: join(folder, 'vk_swiftshader_icd.json'), loader: join(folder, 'libvulkan.so.1') };
}

/** Unpacks beside the target and renames, so that two processes at once cannot see half of it. */
function unpack(archive: string, folder: string): void {
  const files = [...readTar(brotliDecompressSync(readFileSync(archive)))];
  const temporary = `${folder}.${randomBytes(4).toString('hex')}`;
  try {
    mkdirSync(temporary, { recursive: true });
    try {
      for (const { name, data } of files) {
        if (!/^(libvk_swiftshader\.so|libvulkan\.so\.1|vk_swiftshader_icd\.json)$/.test(name)) continue;
        writeFileSync(join(temporary, name), data);
        chmodSync(join(temporary, name), 0o755);
      }
      renameSync(temporary, folder);
    } catch (error) {
      rmSync(temporary, { recursive: true, force: true });
      throw error;
    }
  } catch (error) {
    if (existsSync(folder)) return; // another process was quicker
    const [reason] = (error as Error).message.split(',');
    throw new FileError(
      `SwiftShader cannot be unpacked into ${folder} (${reason}); set SPARROW_CACHE to a folder that can be written`,
      { cause: error },
    );
  }
}

/** Plain files of a tar archive (512-byte headers: name at 0, octal size at 124, type at 156). */
function* readTar(tar: Buffer): Generator<{ name: string; data: Buffer }> {
  for (let at = 0; at + 512 <= tar.length; ) {
    const name = tar.toString('latin1', at, at + 100).replace(/\0.*$/, '');
    if (!name) return;
    const size = Number.parseInt(tar.toString('latin1', at + 124, at + 136), 8) || 0;
    const type = String.fromCharCode(tar[at + 156]);
    if (type === '0' || type === '\0') yield { name: name.replace(/^\.\//, ''), data: tar.subarray(at + 512, at + 512 + size) };
    at += 512 + Math.ceil(size / 512) * 512;
  }
}
