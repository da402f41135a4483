/**
 * Node's side of the platform: Dawn from the npm package `webgpu`, three kinds of adapters, and kernels read from their files.
 *
 * A kind is chosen by telling the Vulkan loader which drivers it may see, before Dawn makes its instance. Each `GPU` object stays
 * referenced for as long as the process lives: Dawn stalls or dies once one with living objects is collected.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AdapterDescription } from '../device.ts';
import { NoAdapterError } from '../errors.ts';
import type { AdapterKind, OpenOptions } from '../index.ts';
import { unpackSwiftShader } from './swiftshader.ts';
import { deviceFrom, type OpenedDevice } from './types.ts';

/** The text of `src/kernels/wgsl/NAME.wgsl`, read from disk: editing the file is all that an experiment takes. */
export function kernelText(name: string): string {
  return readFileSync(new URL(`../../kernels/wgsl/${name}.wgsl`, import.meta.url), 'utf8');
}

type Kind = Exclude<AdapterKind, 'auto'>;
const order: Kind[] = ['gpu', 'lavapipe', 'swiftshader'];

/** One kind of adapter as it was looked for: either an adapter or the reason why not. */
export interface Candidate {
  kind: Kind;
  adapter?: GPUAdapter;
  description?: AdapterDescription;
  refused?: string;
}

const alive: GPU[] = [];
const RTLD_NOW_NODELETE = 2 | 0x1000;

/** Loads a Vulkan loader into the process. Node complains that it is no addon; the library stays loaded all the same. */
function loadLibrary(path: string): boolean {
  try {
    process.dlopen({ exports: {} } as NodeJS.Module, path, RTLD_NOW_NODELETE);
    return true;
  } catch (error) {
    return /did not self-register/.test((error as Error).message);
  }
}

/** Vulkan driver descriptions on this system, in the loader's own search order. */
function systemDrivers(): string[] {
  const given = process.env.VK_DRIVER_FILES ?? process.env.VK_ICD_FILENAMES;
  if (given) return given.split(':').filter(f => existsSync(f));
  const data = (process.env.XDG_DATA_DIRS ?? '/usr/local/share:/usr/share').split(':');
  const folders = ['/etc/vulkan/icd.d', ...data.map(d => join(d, 'vulkan/icd.d')), '/usr/local/nvidia/share/vulkan/icd.d'];
  return folders.flatMap(f => (existsSync(f) ? readdirSync(f).map(name => join(f, name)) : [])).filter(f => f.endsWith('.json'));
}

const isLavapipe = (icd: string) => /lvp_icd|lavapipe/.test(icd);
const isSwiftShader = (icd: string) => /swiftshader/.test(icd);
const embedded = () => unpackSwiftShader();
const initialDrivers = process.platform === 'linux' ? systemDrivers() : [];

/** The drivers that the loader may see for a kind; a string says why there are none. */
function driversFor(kind: Kind): string[] | string {
  if (kind === 'swiftshader') {
    const unpacked = embedded();
    return unpacked ? [unpacked.icd] : 'the embedded SwiftShader is not installed (npm package @sparticuz/chromium, Linux x64)';
  }
  const software = (icd: string) => isLavapipe(icd) || isSwiftShader(icd);
  const found = initialDrivers.filter(icd => (kind === 'lavapipe' ? isLavapipe(icd) : !software(icd)));
  if (found.length > 0) return found;
  return kind === 'lavapipe'
    ? 'Mesa lavapipe is not installed (sparrow adapters --install lavapipe)'
    : 'no Vulkan driver of a GPU is installed';
}

async function lookFor(kind: Kind, name?: string): Promise<Candidate> {
  if (process.platform === 'linux') {
    const drivers = driversFor(kind);
    if (typeof drivers === 'string') return { kind, refused: drivers };
    process.env.VK_ICD_FILENAMES = drivers.join(':');
    delete process.env.VK_DRIVER_FILES;
    if (!loadLibrary('libvulkan.so.1')) {
      const loader = process.env.SPARROW_VULKAN_LOADER ?? embedded()?.loader;
      if (!loader || !loadLibrary(loader)) return { kind, refused: 'no Vulkan loader (libvulkan.so.1) on this system' };
    }
  } else if (kind !== 'gpu') return { kind, refused: `not offered on ${process.platform}` };

  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  const toggles = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia', ...(process.env.SPARROW_DAWN?.split(',') ?? [])];
  const options = [`enable-dawn-features=${toggles.join(',')}`, 'disable-dawn-features=timestamp_quantization'];
  if (name) options.push(`adapter=${name}`);
  try {
    const gpu = create(options);
    alive.push(gpu);
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter) return { kind, refused: 'its driver is installed, but Dawn refuses it (too old, or it does not start)' };
    const { vendor, architecture, description, subgroupMaxSize } = adapter.info;
    if (kind === 'gpu' && /llvmpipe|swiftshader/i.test(`${architecture} ${description}`)) {
      return { kind, refused: `only a software driver answered (${description})` };
    }
    return { kind, adapter, description: { kind, vendor, architecture, description, subgroupSize: subgroupMaxSize ?? 0 } };
  } catch (error) {
    return { kind, refused: (error as Error).message.split('\n')[0] };
  }
}

/** Every kind with what was found or why it was refused, in the order in which `auto` prefers them. */
export async function listAdapters(): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for (const kind of order) found.push(await lookFor(kind));
  return found;
}

/** The wanted kind: the option, else SPARROW_ADAPTER, else `auto`. */
function wantedKind(option: AdapterKind | undefined): AdapterKind {
  const value = option ?? (process.env.SPARROW_ADAPTER as AdapterKind | undefined) ?? 'auto';
  if (value !== 'auto' && !order.includes(value)) {
    throw new NoAdapterError(`unknown adapter '${value}' (SPARROW_ADAPTER): use auto, ${order.join(', ')}`);
  }
  return value;
}

export async function requestDevice(options: OpenOptions): Promise<OpenedDevice> {
  const wanted = wantedKind(options.adapter);
  const refused: string[] = [];
  for (const kind of wanted === 'auto' ? order : [wanted]) {
    const found = await lookFor(kind, options.gpu);
    if (found.adapter && found.description) {
      return { gpu: await deviceFrom(found.adapter, 'sparrow'), adapter: found.description, release: () => {} };
    }
    refused.push(`${kind}: ${found.refused}`);
  }
  const fix = wanted === 'auto' ? 'install a Vulkan driver, or run sparrow adapters --install lavapipe' : 'run sparrow adapters';
  throw new NoAdapterError(`no ${wanted === 'auto' ? 'usable' : wanted} adapter (${refused.join('; ')}); ${fix}`);
}
