/** The kernels that a checkpoint's network would train with on this adapter. */
import { type Device, openDevice } from '../device/index.ts';
import { decodeChoices, loadChoices, useChoices } from '../kernels/choices.ts';
import { type PlannedPass, planModel } from '../nn/plan.ts';
import type { RunHooks } from './api.ts';
import type { HostTensors, Identity } from './checkpoint.ts';
import { deviceOptions, type TrainConfig } from './config.ts';
import { networkOf } from './layer-work.ts';

export interface PlanSettings extends Pick<TrainConfig, 'adapter' | 'gpu'> {
  readonly batchSize: number;
  /** Height and width; by default those of the data set. */
  readonly imageSize?: number | undefined;
  /** Active share of a layer's weights, by name. */
  readonly densities: ReadonlyMap<string, number>;
  /** The text of the run's kernels.json, and its path. */
  readonly kernels?: { readonly text: string; readonly source: string } | undefined;
}

export interface NetworkPlan {
  readonly adapter: Device['adapter'];
  /** [N, C, H, W] of a batch. */
  readonly batch: readonly number[];
  readonly passes: readonly PlannedPass[];
}

/**
 * Plans with the choices of a run's kernels.json, where they were made with this adapter, else with what was measured here.
 * @param model the tensors of the file @param source its path
 * @throws as `layerWork`
 */
export async function planCheckpoint(
  model: HostTensors,
  identity: Identity,
  source: string,
  { batchSize, imageSize, densities, kernels, ...adapter }: PlanSettings,
  { onNotice }: Pick<RunHooks, 'onNotice'>,
): Promise<NetworkPlan> {
  const device = await openDevice(deviceOptions(adapter));
  try {
    const problem = loadChoices(device);
    if (problem) onNotice?.(problem);
    const choices = kernels && decodeChoices(device, kernels.text, kernels.source);
    if (choices) useChoices(device, choices);
    const { network, shape } = networkOf(device, model, identity, source);
    for (const [name, weight] of network.parameters()) weight.density = densities.get(name) ?? 1;
    const [channels, height, width] = shape;
    const batch = [batchSize, channels, imageSize ?? height, imageSize ?? width];
    return { adapter: device.adapter, batch, passes: planModel(device, network, batch) };
  } finally {
    device.close();
  }
}
