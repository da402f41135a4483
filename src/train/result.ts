/** `result.json` of a run that has ended: what its epochs say, put together. */
import type { Score, TrainResult } from './api.ts';
import type { TrainConfig } from './config.ts';
import type { EpochHistory } from './metrics.ts';

/** What a result says beside its epochs. */
export type Findings = Pick<TrainResult, 'label' | 'flops' | 'adapter' | 'seconds' | 'firstStep'> & {
  /** Of the final model, by evaluation PGD on un-augmented training data. */
  readonly trainRa: number;
};

/** @param history all epochs, at least one */
export function summarise(config: TrainConfig, history: readonly EpochHistory[], findings: Findings): TrainResult {
  const { label, flops, adapter, seconds, firstStep, trainRa } = findings;
  const { arch, dataset, mode, seed } = config;
  const last = history.at(-1)!;
  const best = history.reduce((a, b) => (b.valRa > a.valRa ? b : a));
  const score = ({ epoch, valRa, testSa, testRa }: EpochHistory): Score => ({ epoch, valRa, testSa, testRa });
  return {
    label,
    arch,
    dataset,
    mode,
    density: last.density,
    sparsity: 1 - last.density,
    best: score(best),
    final: score(last),
    difference: { sa: best.testSa - last.testSa, ra: best.testRa - last.testRa },
    gap: { trainRa, testRa: last.testRa, gap: trainRa - last.testRa },
    flops,
    adapter,
    seconds,
    ...(firstStep && { firstStep }),
    seed,
  };
}
