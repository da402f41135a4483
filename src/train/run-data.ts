/** The data of a run. */
import { type DataSet, openDataSet } from '../data/index.ts';
import type { RunHooks } from './api.ts';
import type { TrainConfig } from './config.ts';

/** Opens the data set of a configuration, cut to its limits; decoding reports its progress. @throws as `openDataSet` */
export function openRunData(config: TrainConfig, hooks: RunHooks): Promise<DataSet> {
  const { dataset, data, limit, evalLimit, skipCorrupt } = config;
  const given = { ...(data && { data }), ...(limit && { limit }), ...(evalLimit && { evalLimit }) };
  return openDataSet({ dataset, ...given, skipCorrupt }, hooks);
}
