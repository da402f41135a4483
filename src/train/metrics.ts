/**
 * What a run reports per epoch. Timings are measured, everything else is computed: of complete epochs a checkpoint holds only the
 * computed part, so that an interrupted and an uninterrupted run end in the same bytes.
 */

/** The part of an epoch's metrics that the same seed on the same adapter always gives. Accuracies are fractions. */
export interface EpochHistory {
  /** From 0. */
  readonly epoch: number;
  /** On the training batches as they were trained on: attacked, but with `--mode sgd`. */
  readonly trainRa: number;
  readonly valSa: number;
  readonly valRa: number;
  /** Cross-entropy on the adversarial validation images. */
  readonly valLoss: number;
  readonly testSa: number;
  readonly testRa: number;
  readonly lr: number;
  /** Active weights, as a fraction of all maskable ones, those of removed channels included; 1 without a mask and with all channels. */
  readonly density: number;
  /** At the end of the epoch; 0 where masks stay, and beyond `--update-end`. */
  readonly deathRate: number;
  /** Weights that were active at any time so far, as a fraction of the same (the ITOP rate). */
  readonly fired: number;
  /** Weights whose mask is another than at the end of the epoch before, as a fraction of the same; absent where masks stay. */
  readonly maskDistance?: number;
  /** Active weights of each masked layer; absent without a mask. */
  readonly layers?: readonly { readonly name: string; readonly nnz: number; readonly size: number }[];
  /** Mask updates of the epoch, by iteration; decisions of Flying Bird+ are those of that update. */
  readonly events?: readonly {
    readonly iteration: number;
    readonly rate: number;
    readonly prune: boolean;
    readonly grow: boolean;
    readonly density: number;
  }[];
}

/** One line of `metrics.jsonl`. */
export interface EpochMetrics extends EpochHistory {
  /** Of the steps since the run began or was resumed; absent where the epoch had none left. */
  readonly imagesPerSecond?: number | undefined;
  readonly seconds: number;
}

/** An epoch's metrics without what was measured by a clock. */
export function withoutTimings(metrics: EpochHistory & Partial<EpochMetrics>): EpochHistory {
  const { imagesPerSecond, seconds, ...history } = metrics;
  return history;
}
