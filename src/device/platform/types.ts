/** What a platform (Node, a browser) offers; each has one module of this shape behind the import name `#platform`. */
import type { AdapterDescription } from '../device.ts';

export interface OpenedDevice {
  gpu: GPUDevice;
  adapter: AdapterDescription;
  /** Awaits what the device does, in the way that suits the adapter. */
  wait<T>(work: Promise<T>): Promise<T>;
}

/** Features that kernels can use; asked for where the adapter has them. */
export const wantedFeatures = [
  'timestamp-query',
  'shader-f16',
  'subgroups',
  'chromium-experimental-subgroup-matrix',
] as GPUFeatureName[];

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
export function describe(kind: AdapterDescription['kind'], adapter: GPUAdapter): AdapterDescription {
  const { info, features } = adapter;
  const { vendor, architecture, description, subgroupMinSize = 0, subgroupMaxSize = 0 } = info;
  const subgroupSize = features.has('subgroups') && subgroupMinSize === subgroupMaxSize ? subgroupMaxSize : 0;
  const software = /swiftshader|llvmpipe|lavapipe|\bwarp\b|basic render/i;
  const processor = info.isFallbackAdapter || software.test(`${architecture} ${description}`);
  return {
    kind,
    vendor,
    architecture,
    description,
    processor,
    subgroupSize,
    matrixUnits: subgroupSize === 32 && hasMatrixUnits(adapter),
  };
}

/** Chromium's experimental description of a matrix unit, which the types do not have yet. */
interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Whether there is a unit for 16 x 16 matrices of f16 with sums in f32. */
function hasMatrixUnits({ info, features }: GPUAdapter): boolean {
  const wanted = ['shader-f16', 'chromium-experimental-subgroup-matrix'] as GPUFeatureName[];
  if (!wanted.every(f => features.has(f))) return false;
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: readonly MatrixConfig[] };
  return [...subgroupMatrixConfigs].some(
    c => c.componentType === 'f16' && c.resultComponentType === 'f32' && c.M === 16 && c.N === 16 && c.K === 16,
  );
}
