/** Scoring a checkpoint: standard accuracy and accuracy under attack, on test. */
import { DeviceSplit } from '../data/device-split.ts';
import { readFileBytes } from '../data/files.ts';
import { writeState } from '../nn/state.ts';
import type { EvalResult, RunHooks } from './api.ts';
import { assertNormalisation, assertTensors, decodeWeights, identityOf } from './checkpoint.ts';
import { attackSettings, type TrainConfig } from './config.ts';
import { Evaluator } from './evaluator.ts';
import { openTunedDevice } from './kernels.ts';
import { createNetwork } from './network.ts';
import { openRunData } from './run-data.ts';

/** Scores `config.pretrained` by SA and by the evaluation PGD of the configuration; of a run with `--ema` its average. */
export async function scoreCheckpoint(config: TrainConfig, hooks: RunHooks = {}): Promise<EvalResult> {
  const path = config.pretrained!;
  const file = decodeWeights(readFileBytes(path), path);
  const { model: trained, ema: state = trained, metadata } = file;
  const data = await openRunData(config, hooks);
  const device = await openTunedDevice(config, hooks);
  try {
    const { model } = createNetwork(device, data, config, { path, identity: identityOf(metadata), model: trained });
    assertNormalisation(file, data, path);
    assertTensors(state, new Map([...model.state()].map(([name, t]) => [name, t.shape])), path);
    writeState(model, state, path);
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
