/**
 * Node's side of the platform: Dawn from the npm package `webgpu`, three kinds of adapters, and kernels read from their files.
 *
 * A kind is chosen by telling the Vulkan loader which drivers it may see, before Dawn makes its instance. Each `GPU` object stays
 * referenced for as long as the process lives: Dawn stalls or dies once one with living objects is collected.
 */
import type { AdapterDescription } from '../device.ts';
import { NoAdapterError } from '../errors.ts';
import type { AdapterKind, OpenOptions } from '../index.ts';
import { gpuDrivers, hasGpu, loadLibrary, systemDrivers } from './drivers.ts';
import { patiently } from './patience.ts';
import { withoutLimitWarnings } from './stderr.ts';
import { unpackSwiftShader } from './swiftshader.ts';
import { describe, deviceFrom, type OpenedDevice } from './types.ts';

export { kernelText } from '#kernels';
export { installLavapipe } from './lavapipe.ts';
export { readStored, storedPlace, usesMeasured, writeStored } from './store-files.ts';

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
const isLavapipe = (icd: string) => /lvp_icd|lavapipe/.test(icd);
const isSwiftShader = (icd: string) => /swiftshader/.test(icd);
const embedded = () => unpackSwiftShader();
/** The environment before this module told the loader which drivers to see. */
const environment = { ...process.env };

/** The drivers that the loader may see for a kind; a string says why there are none. */
function driversFor(kind: Kind): string[] | string {
  if (kind === 'swiftshader') {
    const unpacked = embedded();
    return unpacked ? [unpacked.icd] : 'the embedded SwiftShader is not installed (npm package @sparticuz/chromium, Linux x64)';
  }
  if (kind === 'lavapipe') {
    const found = systemDrivers(environment).filter(isLavapipe);
    return found.length > 0 ? found : 'Mesa lavapipe is not installed (sparrow adapters --install lavapipe)';
  }
  if (!hasGpu()) return 'no GPU device (/dev/dri, /dev/nvidia*)';
  const found = gpuDrivers(systemDrivers(environment).filter(icd => !isLavapipe(icd) && !isSwiftShader(icd)));
  return found.length > 0 ? found : 'no Vulkan driver of a GPU is installed';
}

/** Lets Vulkan see the drivers of a kind and no others. @returns why there is nothing to see, if so */
function show(kind: Kind): string | undefined {
  if (process.platform !== 'linux') return kind === 'gpu' ? undefined : `not offered on ${process.platform}`;
  const drivers = driversFor(kind);
  if (typeof drivers === 'string') return drivers;
  process.env.VK_ICD_FILENAMES = drivers.join(':');
  delete process.env.VK_DRIVER_FILES;
  if (loadLibrary('libvulkan.so.1')) return undefined;
  const none = 'no Vulkan loader (libvulkan.so.1) on this system';
  try {
    const loader = embedded()?.loader;
    return loader && loadLibrary(loader) ? undefined : none;
  } catch (error) {
    return `${none}, and ${(error as Error).message}`;
  }
}

/**
 * @param wanted part of an adapter's name, or which one as a number from 0; absent: the first
 * @param software whether the kind `gpu` may be a software driver
 */
async function lookFor(kind: Kind, wanted?: string, software = false): Promise<Candidate> {
  // Kernels keep their own indices in range, so Dawn's clamps only cost (a quarter of a training step on SwiftShader); SPARROW_ROBUST=1 puts
  // them back, for work on a kernel.
  const unchecked = process.env.SPARROW_ROBUST === '1' ? [] : ['disable_robustness'];
  const toggles = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia', ...unchecked];
  const options = [`enable-dawn-features=${toggles.join(',')}`, 'disable-dawn-features=timestamp_quantization'];
  try {
    const unseen = show(kind);
    if (unseen) return { kind, refused: unseen };
    const { create, globals } = await import('webgpu');
    Object.assign(globalThis, globals);
    if (wanted) {
      const names = await adapterNames(() => create([...options, `adapter=${NO_NAME}`]));
      if (names.length > 0) {
        const picked = pickAdapter(names, wanted);
        if ('refused' in picked) return { kind, ...picked };
        options.push(`adapter=${picked.name}`);
      }
    }
    const gpu = create(options);
    alive.push(gpu);
    const adapter = await withoutLimitWarnings(() => gpu.requestAdapter(request));
    if (!adapter) return { kind, refused: 'its driver is installed, but Dawn refuses it (too old, or it does not start)' };
    const description = describe(kind, adapter);
    if (kind === 'gpu' && description.processor && !software) {
      const auto = process.platform === 'linux' ? '' : '; --adapter auto takes it';
      return { kind, refused: `only a software driver answered (${description.description})${auto}` };
    }
    return { kind, adapter, description };
  } catch (error) {
    return { kind, refused: (error as Error).message.split('\n')[0] };
  }
}

/** Dawn's order of the adapters depends on it. */
const request: GPURequestAdapterOptions = { powerPreference: 'high-performance' };

/** What no adapter is called. */
const NO_NAME = '\u0001';

/** The adapters' names in Dawn's order, which it tells nowhere but in its complaint about a name that none has. */
async function adapterNames(create: () => GPU): Promise<string[]> {
  const gpu = create();
  alive.push(gpu);
  try {
    await gpu.requestAdapter(request);
    return [];
  } catch (error) {
    return [...(error as Error).message.matchAll(/name: '(.*)'$/gm)].map(match => match[1]);
  }
}

/**
 * The name by which Dawn takes the wanted adapter: of those whose names contain a text it takes the first, and it knows no other
 * way.
 * @param names of the adapters there are, in Dawn's order
 * @param wanted part of a name, or which one as a number from 0
 * @returns the name; or why that adapter cannot be had, and what to do
 */
export function pickAdapter(names: readonly string[], wanted: string): { name: string } | { refused: string } {
  const exact = names.indexOf(wanted);
  const named = exact >= 0 ? exact : names.findIndex(name => name.includes(wanted));
  const index = /^\d+$/.test(wanted) ? Number(wanted) : named;
  const name = names[index];
  if (name === undefined) return { refused: `there is no '${wanted}', only ${names.map((n, i) => `${i}: ${n}`).join(', ')}` };
  const taken = names.findIndex(other => other.includes(name));
  if (taken === index) return { name };
  return {
    refused:
      `'${wanted}' is ${index}: ${name}, but Dawn selects by name only and would take ${taken}: ${names[taken]}; ` +
      `make ${index} the only one that the Vulkan loader or driver shows, and leave --gpu out`,
  };
}

/** Every kind with what was found or why it was refused, in the order in which `auto` prefers them. */
export async function listAdapters(): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for (const kind of order) found.push(await lookFor(kind));
  return found;
}

/** The wanted kind: the option, else SPARROW_ADAPTER, else `auto`. */
function wantedKind(option: AdapterKind | undefined): AdapterKind {
  const value = option ?? ((process.env.SPARROW_ADAPTER || 'auto') as AdapterKind);
  if (value !== 'auto' && !order.includes(value)) {
    throw new NoAdapterError(`unknown adapter '${value}' (SPARROW_ADAPTER): use auto, ${order.join(', ')}`);
  }
  return value;
}

export async function requestDevice(options: OpenOptions): Promise<OpenedDevice> {
  const wanted = wantedKind(options.adapter);
  // where lavapipe and SwiftShader are not offered, `auto` ends with the system's own: WARP on Windows
  const software = wanted === 'auto' && process.platform !== 'linux';
  const refused: string[] = [];
  for (const kind of wanted === 'auto' ? order : [wanted]) {
    const found = await lookFor(kind, options.gpu, software);
    if (found.adapter && found.description) {
      const gpu = await deviceFrom(found.adapter, 'sparrow');
      gpu.addEventListener('uncapturederror', event => event.preventDefault()); // else Dawn prints it, on stdout
      return { gpu, adapter: found.description, wait: found.description.processor ? patiently : work => work };
    }
    refused.push(`${kind}: ${found.refused}`);
  }
  const install = 'install a Vulkan driver, or run sparrow adapters --install lavapipe';
  const fix = wanted === 'auto' && options.gpu === undefined ? install : 'run sparrow adapters';
  throw new NoAdapterError(`no ${wanted === 'auto' ? 'usable' : wanted} adapter (${refused.join('; ')}); ${fix}`);
}
