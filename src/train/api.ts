/** What runs tell the program around them while they work, and what they hand back: the boundary between training and a terminal. */
import type { KernelTime } from '../device/index.ts';
import type { EpochMetrics } from './metrics.ts';
import type { ModeName } from './modes/index.ts';

/** How far a piece of work is. */
export interface Progress {
  /** What is being done, such as `epoch 3 of 0-199` or `test PGD-20`. */
  readonly label: string;
  /** Units done of all, in the same unit (iterations, bytes). `total` is absent where it is not known. */
  readonly done: number;
  readonly total?: number;
  /** Figures to show beside it, already worded: `{ loss: '1.92', RA: '31.2 %' }`. */
  readonly fields?: Readonly<Record<string, string>>;
}

/** Calls that a run makes. All are optional and must return quickly. */
export interface RunHooks {
  onProgress?(progress: Progress): void;
  /** `mode` is the run's: with `sgd` the accuracy on the training batches, `trainRa`, is that of clean images. */
  onEpoch?(metrics: EpochMetrics, mode: ModeName): void;
  /** A line for the user: where a run resumes, that a mask was updated. */
  onNotice?(line: string): void;
  /** With `--profile`, once when the run ends or is interrupted: time on the device by kernel, the largest first. */
  onProfile?(kernels: readonly KernelTime[]): void;
  /** Once, when the first step is done on the device. */
  onFirstStep?(start: ColdStart): void;
  /** Asked after every iteration; true makes the run save a checkpoint and return with `interrupted`. */
  shouldStop?(): boolean;
}

/** How long the first training step took to come, in seconds. */
export interface ColdStart {
  /** From the beginning to the end of the step. */
  readonly seconds: number;
  /** Of these: until data and device were open and the network was on the device. */
  readonly opening: number;
  /** Of these: recording the step, and having its kernels translated by Dawn and the driver (some drivers finish that in the step itself). */
  readonly compiling: number;
}

/** Accuracies at one epoch, as fractions. */
export interface Score {
  readonly epoch: number;
  readonly valRa: number;
  readonly testSa: number;
  readonly testRa: number;
}

/** What `result.json` holds. Accuracies are fractions. */
export interface TrainResult {
  /** What was trained, in words: `Flying Bird`, `dense adversarial`, ... */
  readonly label: string;
  readonly arch: string;
  readonly dataset: string;
  readonly mode: string;
  readonly density: number;
  readonly sparsity: number;
  /** The epoch with the highest validation RA, the last one, and best minus final. */
  readonly best: Score;
  readonly final: Score;
  readonly difference: { readonly sa: number; readonly ra: number };
  /** Robust generalisation gap of the final model: train RA - test RA, both by evaluation PGD on un-augmented data. */
  readonly gap: { readonly trainRa: number; readonly testRa: number; readonly gap: number };
  /**
   * Multiply-adds of one image and of the whole training, dense and at the real densities. Dense training is that of the dense network alone: the
   * second stage of Robust Bird, the first round of iterative pruning.
   */
  readonly flops: {
    readonly inferenceDense: number;
    readonly inferenceReal: number;
    readonly trainingDense: number;
    readonly trainingReal: number;
    readonly formula: string;
  };
  readonly adapter: string;
  /** Of all epochs with their validation and test, before and after a resume, and of the last scores. */
  readonly seconds: number;
  /** Of the last process that took a step; absent where that one did not end the run. */
  readonly firstStep?: ColdStart;
  readonly seed: number;
}

/** A run that ended, or stopped because `shouldStop` said so (then there is no result yet). */
export type TrainOutcome = { readonly interrupted: false; readonly result: TrainResult } | { readonly interrupted: true };

/** What Robust Bird prunes: what stage 1 ended with. */
export interface DrawnTicket {
  /** Whether the masks had settled. If not, it is the network of the last epoch, or a pretrained one. */
  readonly emerged: boolean;
  /** The epoch of stage 1 at whose end it was drawn; null for a pretrained checkpoint. */
  readonly epoch: number | null;
  readonly checkpoint: string;
  /** With channel pruning: how many of all channels are kept. */
  readonly channels?: { readonly kept: number; readonly of: number };
}

/** What `result.json` of Robust Bird's second stage holds: that stage's result, with the work and time of both. */
export interface RobustBirdResult extends TrainResult {
  readonly pruning: 'unstructured' | 'channel';
  /** Training of stage 1; null where a pretrained checkpoint took its place. */
  readonly stage1: string | null;
  readonly ticket: DrawnTicket;
}

export type RobustBirdOutcome =
  | { readonly interrupted: false; readonly result: RobustBirdResult }
  | { readonly interrupted: true };

/** Accuracies of a checkpoint, as fractions; `attacks` by name, such as `pgd-20`. */
export interface EvalResult {
  readonly n: number;
  readonly sa: number;
  readonly attacks: Readonly<Record<string, { readonly ra: number; readonly seconds: number }>>;
}

/** How `sparrow demo` is run. */
export interface DemoOptions {
  /** Where the runs and `report.html` go. */
  readonly saveDir: string;
  readonly seed: number;
  readonly adapter: string;
  readonly gpu: string;
}

/** One way of training in the demo and what it gave on test, as fractions. */
export interface DemoRow {
  readonly name: string;
  readonly sa: number;
  readonly ra: number;
  readonly density: number;
  /** Multiply-adds of the whole training at the real densities. */
  readonly trainFlops: number;
}

export type DemoOutcome =
  | { readonly interrupted: false; readonly rows: readonly DemoRow[]; readonly report: string; readonly seconds: number }
  | { readonly interrupted: true };
