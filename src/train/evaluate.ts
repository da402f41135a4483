/** Scoring a checkpoint: standard accuracy and accuracy under attack, on test. */
import { DeviceSplit } from '../data/device-split.ts';
import type { EvalResult, RunHooks } from './api.ts';
import { identityOf } from './checkpoint.ts';
import { attackSettings, type TrainConfig } from './config.ts';
import { Evaluator } from './evaluator.ts';
import { openTunedDevice } from './kernels.ts';
import { createNetwork } from './network.ts';
import { assertImageShape, readNetworkFile, scoredNormalisation, writeNetwork } from './network-file.ts';
import { openRunData } from './run-data.ts';

/** Scores `config.pretrained` by SA and by the evaluation PGD of the configuration; of a run with `--ema` its average. */
export async function scoreCheckpoint(config: TrainConfig, hooks: RunHooks = {}): Promise<EvalResult> {
  const file = readNetworkFile(config.pretrained!);
  const { path, metadata, model: trained } = file;
  const data = await openRunData(config, hooks);
  const device = await openTunedDevice(config, hooks);
  try {
    assertImageShape(file, data);
    const normalised = { ...data, ...scoredNormalisation(file, data, hooks) };
    const { model } = createNetwork(device, normalised, config, { path, identity: identityOf(metadata), model: trained });
    writeNetwork(model, file);
    const split = new DeviceSplit(device, data.test, data.shape, config.seed);
    const evaluator = new Evaluator(device, model, attackSettings(config, 'test'), config.seed);
    const begun = performance.now();
    const scores = await evaluator.score(split, split.count, config.batchSize, 0, done => {
      hooks.onProgress?.({ label: `test PGD-${config.testStep}`, done, total: split.count });
      return false;
    });
    const seconds = (performance.now() - begun) / 1000;
    return { n: split.count, sa: scores!.sa, attacks: { [`pgd-${config.testStep}`]: { ra: scores!.ra, seconds } } };
  } finally {
    device.close();
  }
}
