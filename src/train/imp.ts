/**
 * Iterative magnitude pruning with rewinding (Frankle et al. 2020): rounds of training, each under a mask of the largest weights of the round before,
 * from the weights that the first, dense round had after `--rewind-epoch`. A round prunes `--imp-rate` of what is left; the last has exactly `--density`.
 *
 * Rounds are runs of their own in `round-0`, `round-1`, ... of the run's folder, the last is the folder itself; so an interrupted one resumes where it was.
 */
import { UsageError } from '../errors.ts';
import type { RunHooks, TrainOutcome, TrainResult } from './api.ts';
import type { TrainConfig } from './config.ts';
import { RunFolder } from './folder.ts';
import type { Complete } from './loop.ts';

/** What a round starts from. */
export interface Ticket {
  /** The checkpoint whose largest active weights make the mask. */
  readonly trained: string;
  readonly density: number;
  /** The checkpoint that has the weights to begin with, and the epoch. */
  readonly rewind: string;
  /** The folder of the first round. */
  readonly first: RunFolder;
}

/** What one round is to the loop; without a ticket it is the first. */
export interface Round {
  readonly ticket?: Ticket;
  /** The epoch at whose beginning a checkpoint is kept as `rewind`. */
  readonly keepEpoch?: number;
  /** The folders of the rounds after it: what an earlier run left there is forgotten when this one begins anew. */
  readonly later?: readonly RunFolder[];
  /** Of the last round: adds the work and the time of those before. */
  readonly complete?: Complete;
}

type TrainRound = (config: TrainConfig, hooks: RunHooks, round: Round) => Promise<TrainOutcome>;

/** Densities of the rounds: 1, 1 - rate, (1 - rate)², ... and last the one asked for. */
export function roundDensities(density: number, rate: number): number[] {
  const rounds = Math.ceil(Math.log(density) / Math.log(1 - rate) - 1e-9);
  return Array.from({ length: rounds + 1 }, (_, k) => (k === rounds ? density : (1 - rate) ** k));
}

/** Trains all rounds; the result is that of the last, with the training work and the time of all. */
export async function trainImp(config: TrainConfig, hooks: RunHooks, train: TrainRound): Promise<TrainOutcome> {
  if (config.resumeDir !== undefined) throw new UsageError('--imp continues in its own folder: give --resume and --save-dir');
  const whole = new RunFolder(config.saveDir!);
  if (config.resume) whole.assertSameRun(config); // now, not when the last round gets there
  const densities = roundDensities(config.density, config.impRate);
  const folders = densities.map((_, k) => (k === densities.length - 1 ? whole : new RunFolder(whole.file(`round-${k}`))));
  const results: TrainResult[] = [];
  const complete = (final: TrainResult): TrainResult => {
    const sum = (what: (result: TrainResult) => number) => [...results, final].reduce((total, r) => total + what(r), 0);
    const [{ flops: first }] = [...results, final];
    const formula = `${final.flops.formula}; training is the sum of all rounds, of the dense network the first alone`;
    const trainingReal = sum(r => r.flops.trainingReal);
    return {
      ...final,
      flops: { ...final.flops, trainingDense: first.trainingDense, trainingReal, formula },
      seconds: sum(r => r.seconds),
    };
  };
  for (const [k, folder] of folders.entries()) {
    const last = k === folders.length - 1;
    const done = config.resume && !last ? folder.loadResult() : undefined;
    if (done) {
      folder.assertSameRun(config);
      results.push(done);
      continue;
    }
    hooks.onNotice?.(`imp: round ${k + 1} of ${folders.length} at density ${densities[k].toFixed(4)}`);
    const round: Round =
      k === 0
        ? { keepEpoch: config.rewindEpoch, later: folders.slice(1) }
        : {
            ticket: {
              trained: folders[k - 1].file('checkpoint.safetensors'),
              density: densities[k],
              rewind: folders[0].file('rewind.safetensors'),
              first: folders[0],
            },
          };
    const outcome = await train({ ...config, saveDir: folder.path }, hooks, { ...round, ...(last && { complete }) });
    if (outcome.interrupted) return outcome;
    results.push(outcome.result);
  }
  return { interrupted: false, result: results.at(-1)! };
}
