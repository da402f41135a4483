/**
 * WebGPU in the peers' process: `navigator.gpu` on the Vulkan driver that the environment shows (the one of Sparrow's own device) with the
 * Dawn toggles that Sparrow itself runs with, so that libraries are compared, not their checks.
 */
import { create, globals } from 'webgpu';

/** Referenced for as long as the process lives: Dawn dies when it is collected. */
let gpu;
let description = '';
const errors = [];

/** @param name part of the name of the adapter, where there are several */
export function openGpu(name) {
  Object.assign(globalThis, globals);
  const toggles = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia', 'disable_robustness'];
  gpu = create([`enable-dawn-features=${toggles.join(',')}`, ...(name ? [`adapter=${name}`] : [])]);
  const requestAdapter = gpu.requestAdapter.bind(gpu);
  gpu.requestAdapter = async options => watch(await requestAdapter(options));
  Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'Node.js' }, configurable: true });
}

/** Keeps the errors of every device that the adapter gives, which Dawn would print. */
function watch(adapter) {
  if (!adapter) return adapter;
  description = adapter.info.description;
  const requestDevice = adapter.requestDevice.bind(adapter);
  adapter.requestDevice = async options => {
    const device = await requestDevice(options);
    device.addEventListener('uncapturederror', event => {
      event.preventDefault();
      errors.push(event.error.message);
    });
    return device;
  };
  return adapter;
}

/** What the adapter says of itself; empty as long as nobody asked for one. */
export const adapterDescription = () => description;

/** The errors since the last call. */
export const takeErrors = () => errors.splice(0);
