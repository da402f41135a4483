/** What a sweep knows of the commands that it runs: their settings, and what their runs leave on the disk. */
import type { Command } from 'commander';
import { UsageError } from '../../errors.ts';
import { assertSameRun, resolveConfig, trainFlags } from '../../train/config.ts';
import { assertSameSettings } from '../../train/flags.ts';
import { RunFolder } from '../../train/folder.ts';
import {
  resolveRobustBird,
  robustBirdFlags,
  savedSettings,
  settingsFile,
  stageFolder,
} from '../../train/robust-bird/settings.ts';
import { givenFlags } from '../options.ts';

/** What a run leaves on the disk. */
export interface Traces {
  /** The folder that gets its result. */
  readonly end: RunFolder;
  /** Files of which one is there as soon as `--resume` has something to go on from. */
  readonly begun: readonly string[];
  /** Whether the run that ended there is the one that is asked for. @throws UsageError if its settings were others, or are not known */
  assertSame(): void;
}

/** The commands of which there are sweeps: from their flags, parsed, to the traces of the run. @throws UsageError for wrong settings */
export const sweepable: Readonly<Record<string, (command: Command, saveDir: string) => Traces>> = {
  train(command, saveDir) {
    const config = resolveConfig(givenFlags(command, trainFlags));
    if (config.eval)
      throw new UsageError('a sweep trains, and --eval does not: leave it out, or score checkpoints with sparrow eval');
    const end = new RunFolder(saveDir);
    return {
      end,
      begun: ['config.json', 'round-0/config.json'].map(name => end.file(name)), // --imp gets to the folder itself in its last round
      assertSame: () => assertSameRun(end.loadConfig() ?? unknown(end, 'config.json'), config, end.path),
    };
  },
  'robust-bird'(command) {
    const settings = resolveRobustBird(givenFlags(command, robustBirdFlags));
    const end = new RunFolder(stageFolder(settings, 2));
    return {
      end,
      begun: [end.file(settingsFile)],
      assertSame: () => assertSameSettings(robustBirdFlags, savedSettings(end) ?? unknown(end, settingsFile), settings, end.path),
    };
  },
};

function unknown(end: RunFolder, file: string): never {
  throw new UsageError(`${end.path} holds the result of another command: it has no ${file}; give another --save-dir`);
}
