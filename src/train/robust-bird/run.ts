/**
 * Robust Bird (Chen et al. 2022, "Sparsity Winning Twice"). Stage 1 trains a dense network until its early-bird
 * ticket emerges. Of the network of that epoch the largest weights stay under a mask, or the channels with the largest gammas
 * stay and the others are removed. Stage 2 trains what is left, its optimiser and its schedule beginning anew.
 *
 * Each stage is a run of its own, in a folder of its own, so an interrupted one resumes where it was.
 */
import { writeFileAtomic } from '../../data/files.ts';
import type { DataSet } from '../../data/types.ts';
import type { Device } from '../../device/index.ts';
import { choicesOf, useChoices } from '../../kernels/choices.ts';
import type { DrawnTicket, RobustBirdOutcome, RobustBirdResult, RunHooks, TrainOutcome, TrainResult } from '../api.ts';
import { assertSameSettings } from '../flags.ts';
import { RunFolder, whileLocked } from '../folder.ts';
import { openTunedDevice, useSavedChoices } from '../kernels.ts';
import { type NetworkFile, readNetworkFile } from '../network-file.ts';
import { type RunOptions, trainLocked } from '../run.ts';
import { openRunData } from '../run-data.ts';
import { type RobustBirdSettings, robustBirdFlags, savedSettings, settingsFile, stageConfig, stageFolder } from './settings.ts';
import { assertPrunable, pruneChannels } from './ticket.ts';
import { EarlyBirdWatch } from './watch.ts';

type Given = Pick<RunOptions, 'device' | 'data'>;

/**
 * Trains both stages; saves into `<saveDir>_stage1` and `<saveDir>_stage2`.
 * @throws FileError naming the process that trains in one of them, if there is one
 */
export function trainRobustBird(
  settings: RobustBirdSettings,
  hooks: RunHooks = {},
  options: Given = {},
): Promise<RobustBirdOutcome> {
  const [first, last] = ([1, 2] as const).map(stage => new RunFolder(stageFolder(settings, stage)));
  const used = settings.stage1 === undefined ? [last] : [first, last];
  return whileLocked(used, () => bothStages(settings, hooks, options, first, last));
}

async function bothStages(
  settings: RobustBirdSettings,
  hooks: RunHooks,
  options: Given,
  first: RunFolder,
  last: RunFolder,
): Promise<RobustBirdOutcome> {
  const saved = settings.resume ? savedSettings(last) : undefined;
  const resuming = saved !== undefined;
  if (saved) assertSameSettings(robustBirdFlags, saved, settings, last.path);
  else if (settings.resume) hooks.onNotice?.(`nothing to resume in ${last.path} yet: starting from the beginning`);
  const pretrained = settings.stage1Pretrained === undefined ? undefined : readNetworkFile(settings.stage1Pretrained);
  const begun = resuming && first.has('checkpoint.safetensors');
  const init = settings.init === undefined || begun ? undefined : readNetworkFile(settings.init);
  const config = stageConfig(settings, 2);
  const data = options.data ?? (await openRunData(config, hooks));
  const device = options.device ?? (await openTunedDevice(config, hooks));
  const choices = choicesOf(device);
  try {
    // stage 2 computes as stage 1 did, also where it begins after a resume
    if (resuming && settings.stage1 !== undefined && first.has('kernels.json')) useSavedChoices(device, first, hooks);
    assertPrunable(device, data, config, settings, { pretrained, init });
    const stages = new Stages(settings, device, data, hooks, resuming, first, last);
    return await stages.train(pretrained);
  } finally {
    if (options.device) useChoices(device, choices);
    else device.close();
  }
}

/** What stage 1 leaves to stage 2. */
interface Beginning {
  readonly ticket: DrawnTicket;
  /** Absent where a pretrained checkpoint took its place. */
  readonly result?: TrainResult;
}

class Stages {
  constructor(
    private readonly settings: RobustBirdSettings,
    private readonly device: Device,
    private readonly data: DataSet,
    private readonly hooks: RunHooks,
    private readonly resuming: boolean,
    private readonly first: RunFolder,
    private readonly second: RunFolder,
  ) {}

  async train(pretrained: NetworkFile | undefined): Promise<RobustBirdOutcome> {
    this.prepare();
    const begun = pretrained ? { ticket: { emerged: false, epoch: null, checkpoint: pretrained.path } } : await this.stage1();
    return begun ? this.stage2(begun) : { interrupted: true };
  }

  /** Proves that both folders can be written to, and forgets an earlier run in them. */
  private prepare(): void {
    const { settings, second } = this;
    const folders = settings.stage1 === undefined ? [second] : [this.first, second];
    const start = settings.init ?? settings.stage1Pretrained;
    if (!this.resuming) for (const folder of folders) folder.assertSpares(start);
    for (const folder of folders) {
      folder.prepare();
      if (this.resuming) continue;
      folder.discard(start);
      folder.restoreMetrics([]);
    }
    writeFileAtomic(second.file(settingsFile), `${JSON.stringify(settings, null, 2)}\n`);
  }

  /** Undefined: asked to stop. */
  private async stage1(): Promise<Beginning | undefined> {
    const { settings, first, hooks } = this;
    const watch = new EarlyBirdWatch(first, settings.pruning, settings.density);
    const checkpoint = first.file('checkpoint.safetensors');
    const ticketOf = ({ final: { epoch } }: TrainResult) => ({ emerged: watch.over, epoch, checkpoint });
    const complete = (alone: TrainResult) => ({ ...alone, ticket: ticketOf(alone) });
    let result = this.resuming ? first.loadResult() : undefined;
    if (result) {
      first.assertSameRun(stageConfig(settings, 1));
      watch.begin(result.final.epoch + 1);
    } else {
      hooks.onNotice?.(`stage 1: ${settings.stage1} until the ticket emerges, ${settings.epochs1} epochs at most`);
      const outcome = await this.run(1, { watch, complete, label: 'Robust Bird, stage 1' });
      if (outcome.interrupted) return undefined;
      result = outcome.result;
    }
    watch.discardMasks();
    const ticket = ticketOf(result);
    hooks.onNotice?.(
      ticket.emerged
        ? `the ticket emerged in epoch ${ticket.epoch}: its mask is within ${watch.record().threshold} of those of the four epochs before`
        : `no ticket emerged in ${ticket.epoch + 1} epochs: the network of the last is pruned`,
    );
    return { ticket, result };
  }

  private async stage2({ ticket, result: before }: Beginning): Promise<RobustBirdOutcome> {
    const { settings, second, hooks } = this;
    const { pruning, density, stage1, stage2, epochs2 } = settings;
    let drawn: DrawnTicket = ticket;
    if (pruning === 'channel') drawn = { ...ticket, channels: await this.removeChannels(ticket) };
    hooks.onNotice?.(
      drawn.channels
        ? `stage 2: ${stage2} with ${drawn.channels.kept} of ${drawn.channels.of} channels, ${epochs2} epochs`
        : `stage 2: ${stage2} at density ${density}, ${epochs2} epochs`,
    );
    const start = drawn.channels ? second.file('ticket.safetensors') : ticket.checkpoint;
    const complete = (alone: TrainResult): RobustBirdResult => ({
      ...alone,
      flops: before ? workOfBoth(before.flops, alone.flops) : alone.flops,
      seconds: alone.seconds + (before?.seconds ?? 0),
      pruning,
      stage1: stage1 ?? null,
      ticket: drawn,
    });
    const label = pruning === 'channel' ? 'Robust Bird, channels' : 'Robust Bird';
    const outcome = await this.run(2, { start, label, complete });
    return outcome.interrupted ? outcome : { interrupted: false, result: outcome.result as RobustBirdResult }; // completed
  }

  /** Writes the pruned network, which stage 2 starts from, as `ticket.safetensors`. */
  private async removeChannels({ checkpoint: path }: DrawnTicket): Promise<NonNullable<DrawnTicket['channels']>> {
    const { device, data, settings, hooks } = this;
    const config = stageConfig(settings, 2);
    const { checkpoint, channels } = await pruneChannels(device, data, config, settings.density, readNetworkFile(path), hooks);
    this.second.saveCheckpoint(checkpoint, 'ticket');
    return channels;
  }

  /** One stage, from where it stands. */
  private run(stage: 1 | 2, options: RunOptions): Promise<TrainOutcome> {
    const { settings, hooks, device, data } = this;
    const folder = stage === 1 ? this.first : this.second;
    const resume = this.resuming && folder.has('checkpoint.safetensors');
    const named: RunHooks = { ...hooks, onProgress: p => hooks.onProgress?.({ ...p, label: `stage ${stage}: ${p.label}` }) };
    return trainLocked({ ...stageConfig(settings, stage), resume }, named, { ...options, device, data });
  }
}

/**
 * The network of stage 2, and the training of both stages beside what the dense network would cost without the first: trained as stage 2 alone. So
 * runs whose training ends in the same way are shares of the same count. The formula says which mode made how many passes.
 */
function workOfBoth(first: TrainResult['flops'], second: TrainResult['flops']): TrainResult['flops'] {
  const passes = first.formula === second.formula ? second.formula : `stage 1: ${first.formula}; stage 2: ${second.formula}`;
  return {
    ...second,
    trainingReal: first.trainingReal + second.trainingReal,
    formula: `${passes}; training is the sum of both stages, of the dense network stage 2 alone`,
  };
}
