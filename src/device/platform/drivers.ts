/**
 * Vulkan drivers on a Linux machine, found without starting Vulkan: which descriptions (ICD files) there are, whether there is a device
 * that they could drive, and NVIDIA's driver where a container brings its libraries but no description of them.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { xdgFolders } from './cache.ts';

const RTLD_NOW_NODELETE = 2 | 0x1000;

/** Loads a shared library into the process. Node complains that it is no addon; the library stays loaded all the same. */
export function loadLibrary(path: string): boolean {
  try {
    process.dlopen({ exports: {} } as NodeJS.Module, path, RTLD_NOW_NODELETE);
    return true;
  } catch (error) {
    return /did not self-register/.test((error as Error).message);
  }
}

/** Names in a folder; none where it does not exist or may not be read. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Vulkan driver descriptions on this system, in the loader's own search order (`driverFolders`). */
export function systemDrivers(env: NodeJS.ProcessEnv = process.env): string[] {
  const given = env.VK_DRIVER_FILES || env.VK_ICD_FILENAMES;
  if (given) return given.split(':').filter(f => existsSync(f));
  return driverFolders(env)
    .flatMap(folder => namesIn(folder).map(name => join(folder, name)))
    .filter(f => f.endsWith('.json'));
}

/**
 * Where the loader looks on Linux (Vulkan-Loader, docs/LoaderDriverInterface.md, "Driver Discovery on Linux"); and, last, where
 * containers on Google's machines have NVIDIA's.
 */
export function driverFolders(env: NodeJS.ProcessEnv): string[] {
  const home = env.HOME || homedir();
  const folders = [
    ...xdgFolders(env.XDG_CONFIG_HOME, join(home, '.config')),
    ...xdgFolders(env.XDG_CONFIG_DIRS, '/etc/xdg'),
    '/usr/local/etc',
    '/etc',
    ...xdgFolders(env.XDG_DATA_HOME, join(home, '.local/share')),
    ...xdgFolders(env.XDG_DATA_DIRS, '/usr/local/share', '/usr/share'),
    '/usr/local/nvidia/share',
  ];
  return [...new Set(folders.map(folder => join(folder, 'vulkan/icd.d')))];
}

/** Whether the kernel offers a GPU: a render node of any driver, or the nodes of those that have their own. */
export function hasGpu(dev = '/dev'): boolean {
  const own = /^(nvidia\d+|nvhost-gpu|nvgpu|dxg|mali\d+|kgsl-3d0)$/;
  return namesIn(dev).some(name => own.test(name)) || namesIn(join(dev, 'dri')).some(name => /^renderD\d+$/.test(name));
}

/** The library that a description names, as the loader would open it; undefined where the file is not a description. */
export function driverLibrary(icd: string): string | undefined {
  try {
    const path: unknown = JSON.parse(readFileSync(icd, 'utf8')).ICD.library_path;
    if (typeof path !== 'string') return undefined;
    return path.includes('/') ? resolve(dirname(icd), path) : path;
  } catch {
    return undefined;
  }
}

const isNvidia = (icd: string) => /nvidia/.test(icd);

/** NVIDIA's Vulkan driver is in both; the second does without X11's libraries, which containers often lack. */
const nvidiaLibraries = ['libGLX_nvidia.so.0', 'libEGL_nvidia.so.0'].flatMap(name => [
  name,
  `/usr/local/nvidia/lib64/${name}`,
  `/usr/local/nvidia/lib/${name}`,
]);

/**
 * Descriptions of GPU drivers that can work: those given, with NVIDIA's replaced where it names a library that does not load, or
 * added where it is missing.
 * @param icds descriptions found on the system
 * @param loads whether a library can be loaded into this process
 */
export function gpuDrivers(icds: readonly string[], loads: (library: string) => boolean = loadLibrary): string[] {
  const working = icds.filter(icd => !isNvidia(icd) || loads(driverLibrary(icd) ?? ''));
  if (working.some(isNvidia)) return working;
  const library = nvidiaLibraries.find(loads);
  return library ? [...working, describeDriver('nvidia', library)] : working;
}

/** Writes a description for a driver's library, and removes it when the process ends. */
function describeDriver(name: string, library: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'sparrow-driver-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, `${name}_icd.json`);
  writeFileSync(path, JSON.stringify({ file_format_version: '1.0.0', ICD: { library_path: library, api_version: '1.3.0' } }));
  return path;
}
