/**
 * Which kernels a run computes with. A new run takes what was measured on its adapter (`sparrow bench --tune`), else defaults, and writes that beside
 * its configuration; a resumed run takes exactly what is written there, so that its bits do not depend on what was measured since.
 */
import { type Device, openDevice } from '../device/index.ts';
import { decodeChoices, loadChoices, useChoices } from '../kernels/choices.ts';
import type { RunHooks } from './api.ts';
import { deviceOptions } from './config.ts';
import type { RunFolder } from './folder.ts';

/** Opens a device whose kernels are chosen by what was measured on it. A cache that cannot be used is told of, and costs nothing but speed. */
export async function openTunedDevice(
  options: Parameters<typeof deviceOptions>[0],
  { onNotice }: Pick<RunHooks, 'onNotice'> = {},
): Promise<Device> {
  const device = await openDevice(deviceOptions(options));
  try {
    const problem = loadChoices(device);
    if (problem) onNotice?.(problem);
    return device;
  } catch (error) {
    device.close();
    throw error;
  }
}

/**
 * Has a device compute with the choices that the run in a folder was started with, from now on. A run from before there was a `kernels.json` used the
 * defaults.
 * @returns the text of `kernels.json`, for what goes on with that run @throws FileError, naming the file, where it is damaged
 */
export function useSavedChoices(device: Device, folder: RunFolder, { onNotice }: RunHooks): string | undefined {
  const text = folder.loadKernels();
  const source = folder.file('kernels.json');
  const choices = text === undefined ? undefined : decodeChoices(device, text, source);
  if (text !== undefined && !choices)
    onNotice?.(`${source}: was written with another adapter or driver; kernels run with their defaults`);
  useChoices(device, choices ?? new Map());
  return text;
}
