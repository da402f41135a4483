/** What a platform (Node, a browser) offers; each has one module of this shape behind the import name `#platform`. */
import type { AdapterDescription } from '../device.ts';

export interface OpenedDevice {
  gpu: GPUDevice;
  adapter: AdapterDescription;
  release: () => void;
}

/** Features that kernels can use; asked for where the adapter has them. */
export const wantedFeatures: GPUFeatureName[] = ['timestamp-query', 'shader-f16', 'subgroups'];

/** Opens a `GPUDevice` with the adapter's own limits and the wanted features. */
export async function deviceFrom(adapter: GPUAdapter, label: string): Promise<GPUDevice> {
  const requiredLimits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const value = (adapter.limits as unknown as Record<string, unknown>)[name];
    if (typeof value === 'number' && limitNames.has(name)) requiredLimits[name] = value;
  }
  return adapter.requestDevice({
    label,
    requiredFeatures: wantedFeatures.filter(f => adapter.features.has(f)),
    requiredLimits,
  });
}

/** The limits that compute kernels meet. */
const limitNames = new Set([
  'maxBindingsPerBindGroup',
  'maxBufferSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxUniformBufferBindingSize',
]);

/** What an adapter says of itself. */
export function describe(kind: AdapterDescription['kind'], { info, features }: GPUAdapter): AdapterDescription {
  const { vendor, architecture, description, subgroupMinSize = 0, subgroupMaxSize = 0 } = info;
  const subgroupSize = features.has('subgroups') && subgroupMinSize === subgroupMaxSize ? subgroupMaxSize : 0;
  const processor = /swiftshader|llvmpipe|lavapipe/i.test(`${architecture} ${description}`);
  return { kind, vendor, architecture, description, processor, subgroupSize };
}
