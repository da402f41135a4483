/**
 * A training run from its settings to its result: opens data and device, begins or resumes, and leaves the run's folder behind.
 * The epochs are in `loop.ts`, what they change in `learner.ts`.
 */
import type { DataSet } from '../data/index.ts';
import type { Device } from '../device/index.ts';
import { choicesOf, encodeChoices, useChoices } from '../kernels/choices.ts';
import type { RunHooks, TrainOutcome } from './api.ts';
import { identityOf } from './checkpoint.ts';
import type { TrainConfig } from './config.ts';
import { RunFolder, whileLocked } from './folder.ts';
import { type Round, trainImp } from './imp.ts';
import { openTunedDevice, useSavedChoices } from './kernels.ts';
import { Loop, type LoopOptions } from './loop.ts';
import { readNetworkFile } from './network-file.ts';
import { profiled } from './profile.ts';
import { openRunData } from './run-data.ts';

export type { MaskedState } from './learner.ts';

export interface RunOptions extends LoopOptions {
  /** A device that the caller opened and closes, with what its kernels are chosen by; by default the run opens its own. */
  device?: Device;
  /** Data that the caller opened. */
  data?: DataSet;
  /** A file to start from where the configuration names none. */
  start?: string;
  /** When the program began, in the time of `performance.now()`: what the first step is timed from. By default when the run is called. */
  begun?: number;
}

/** Trains a model; saves into `config.saveDir`. @throws FileError naming the process that trains there, if there is one */
export function trainRun(config: TrainConfig, hooks: RunHooks = {}, options: RunOptions = {}): Promise<TrainOutcome> {
  return whileLocked([new RunFolder(config.saveDir!)], () => trainLocked(config, hooks, options));
}

/** `trainRun` in a folder that the caller has locked. */
export function trainLocked(config: TrainConfig, hooks: RunHooks, options: RunOptions): Promise<TrainOutcome> {
  if (!config.imp) return oneRun(config, hooks, options);
  const { begun: _, ...later } = options;
  return trainImp(config, hooks, (settings, inner, round) => {
    // the last round is in the folder that is locked
    const own = settings.saveDir === config.saveDir ? [] : [new RunFolder(settings.saveDir!)];
    return whileLocked(own, () => oneRun(settings, inner, round.ticket ? later : options, round));
  });
}

async function oneRun(config: TrainConfig, hooks: RunHooks, options: RunOptions, round: Round = {}): Promise<TrainOutcome> {
  const { begun = performance.now() } = options;
  const folder = new RunFolder(config.saveDir!);
  const source = new RunFolder(config.resumeDir ?? config.saveDir!);
  const resuming = config.resume || config.resumeDir !== undefined;
  if (resuming) source.assertSameRun(config);
  const checkpoint = resuming ? source.loadCheckpoint() : undefined;
  if (resuming && !checkpoint) hooks.onNotice?.(`nothing to resume in ${source.path} yet: starting from the beginning`);
  const from = round.ticket?.rewind ?? options.start ?? config.init;
  const replaced = [folder, ...(round.later ?? [])];
  if (!checkpoint) for (const begun of replaced) begun.assertSpares(from);
  const start = checkpoint || from === undefined ? undefined : readNetworkFile(from);
  const data = options.data ?? (await openRunData(config, hooks));
  const device = options.device ?? (await openTunedDevice(config, hooks));
  const choices = choicesOf(device);
  if (device.precision !== config.precision) hooks.onNotice?.('--precision f16: the adapter has no matrix units, f32 is used');
  try {
    // a round of iterative pruning computes as the first one did
    const earlier = round.ticket ? round.ticket.first : checkpoint ? source : undefined;
    const kernels = earlier && useSavedChoices(device, earlier, hooks);
    const path = source.file('checkpoint.safetensors');
    const started = start && { path: start.path, identity: identityOf(start.metadata), model: start.model };
    const origin = checkpoint ? { path, identity: checkpoint, model: checkpoint.model } : started;
    const loop = new Loop(device, data, config, folder, hooks, { ...options, ...round, origin, begun });
    try {
      if (checkpoint) {
        loop.restore(checkpoint, source);
        folder.takeOver(source);
        await loop.save();
      } else {
        await loop.begin(start);
        for (const begun of replaced) begun.discard(from);
      }
      folder.saveKernels(kernels ?? encodeChoices(device));
      // last: the folder never holds this configuration beside another run's checkpoint, which a resume would take for this run's
      folder.saveConfig(config);
      return config.profile ? await profiled(device, hooks, () => loop.train()) : await loop.train();
    } finally {
      loop.dispose();
    }
  } finally {
    if (options.device) useChoices(device, choices);
    else device.close();
  }
}
