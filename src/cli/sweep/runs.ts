/** The runs of a sweep, one process at a time: what is finished is left alone, what was broken off goes on, and a failure ends its own run only. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { UsageError } from '../../errors.ts';
import type { TrainResult } from '../../train/api.ts';
import { Interrupt } from '../interrupt.ts';
import { duration, percent } from '../table.ts';
import type { Combination } from './plan.ts';
import type { Traces } from './traces.ts';

/** A run to be: `folder` is its `--save-dir`. */
export interface SweepRun extends Combination {
  readonly folder: string;
  readonly traces: Traces;
}

/** How far a run is, by what it left on the disk. What ended there may be another run: then that must not be taken for this one. */
export type Standing =
  | { readonly state: 'new' | 'begun' }
  | { readonly state: 'finished'; readonly result: TrainResult }
  | { readonly state: 'other settings'; readonly error: string };

/** What came of a run. `seconds` is the time of this sweep's process. */
export interface Outcome {
  readonly values: Readonly<Record<string, string>>;
  readonly folder: string;
  readonly state: 'done' | 'finished before' | 'failed' | 'not run';
  readonly seconds?: number;
  readonly result?: TrainResult;
  readonly error?: string;
}

/** Whether a run is to be run. */
export const isOpen = ({ state }: Pick<Standing, 'state'>): boolean => state === 'new' || state === 'begun';

/** @throws FileError if what a run left cannot be read */
export function standing({ traces }: SweepRun): Standing {
  const result = traces.end.loadResult();
  if (!result) return { state: traces.begun.some(file => existsSync(file)) ? 'begun' : 'new' };
  try {
    traces.assertSame();
    return { state: 'finished', result };
  } catch (error) {
    if (error instanceof UsageError) return { state: 'other settings', error: error.message };
    throw error;
  }
}

export interface SweepOptions {
  readonly quiet: boolean;
  /** The file that Node runs as the command line. */
  readonly entry: string;
  /** A line for the user. */
  note(line: string): void;
}

/** Runs what is not finished. An interrupt stops the present run, which saves itself, and the sweep. */
export async function runSweep(
  runs: readonly SweepRun[],
  options: SweepOptions,
): Promise<{ outcomes: Outcome[]; interrupted: boolean }> {
  const { note } = options;
  const outcomes: Outcome[] = [];
  const pending = runs.filter(run => isOpen(standing(run))).length;
  let spent = 0;
  let ran = 0;
  let interrupted = false;
  for (const [i, run] of runs.entries()) {
    const { values, folder } = run;
    const place = `[${i + 1}/${runs.length}] ${folder}`;
    const found = standing(run);
    if (interrupted) {
      outcomes.push({
        values,
        folder,
        ...(found.state === 'finished' ? { state: 'finished before', result: found.result } : { state: 'not run' }),
      });
      continue;
    }
    if (found.state === 'finished') {
      outcomes.push({ values, folder, state: 'finished before', result: found.result });
      note(`${place}: is finished already`);
      continue;
    }
    if (found.state === 'other settings') {
      outcomes.push({ values, folder, state: 'failed', error: found.error });
      note(`${place}: ${found.error}`);
      continue;
    }
    note(`${place}: ${found.state === 'begun' ? 'goes on' : 'begins'}`);
    const began = performance.now();
    const ended = await runOne(run, found.state === 'begun', options);
    const seconds = (performance.now() - began) / 1000;
    spent += seconds;
    ran++;
    interrupted = ended.interrupted;
    const left = pending - ran;
    const eta = left && !interrupted ? `; ${left} to go, ETA ${duration((spent / ran) * left)}` : '';
    if ('result' in ended) {
      const { result } = ended;
      outcomes.push({ values, folder, state: 'done', seconds, result });
      note(`${place}: done in ${duration(seconds)}, final RA ${percent(result.final.testRa)}${eta}`);
    } else {
      outcomes.push({ values, folder, seconds, state: interrupted ? 'not run' : 'failed', error: ended.error });
      note(`${place}: ${interrupted ? 'was interrupted' : `failed after ${duration(seconds)}${eta}`}`);
    }
  }
  return { outcomes, interrupted };
}

type Ended = { readonly interrupted: boolean } & ({ readonly result: TrainResult } | { readonly error: string });

/** One process. Its stderr is passed on, except with `quiet`; the last message there is the reason of a failure. */
function runOne({ argv }: SweepRun, resume: boolean, { quiet, entry }: SweepOptions): Promise<Ended> {
  const flags = ['--json', ...(resume ? ['--resume'] : []), ...(quiet ? ['--quiet'] : [])];
  // In a process group of its own: a Ctrl-C reaches this process alone, which passes it on, so that the run gets it once. The channel tells the run
  // when this process is gone.
  const child = spawn(process.execPath, [entry, ...argv, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true,
  });
  const stop = () => void child.kill('SIGINT');
  const interrupt = new Interrupt(stop, code => {
    stop();
    process.exit(code);
  });
  let stdout = '';
  let stderr = '';
  child.stdout!.setEncoding('utf8').on('data', text => {
    stdout += text;
  });
  child.stderr!.setEncoding('utf8').on('data', text => {
    stderr = (stderr + text).slice(-10_000);
    if (!quiet) process.stderr.write(text);
  });
  return new Promise(resolve => {
    const end = (what: { result: TrainResult } | { error: string }, code?: number | null) => {
      interrupt.dispose();
      resolve({ ...what, interrupted: code === 130 || interrupt.requested });
    };
    child.on('error', error => end({ error: error.message }));
    child.on('close', (code, signal) => {
      if (code === 0) return end({ result: JSON.parse(stdout) as TrainResult });
      const said = [...stderr.matchAll(/^sparrow: (.+)$/gm)].at(-1)?.[1];
      end({ error: signal ? `ended by ${signal}` : (said ?? `exit code ${code}`) }, code);
    });
  });
}
