/** `samples.safetensors` of a run: a few test images, clean and attacked, with what the final model makes of them. */
import { type AttackSettings, pgd } from '../adv/pgd.ts';
import * as F from '../autograd/index.ts';
import type { DeviceSplit } from '../data/device-split.ts';
import { writeSafetensors } from '../data/files.ts';
import type { StoredTensor } from '../data/safetensors.ts';
import type { DataSet } from '../data/types.ts';
import type { Device } from '../device/index.ts';
import type { Module } from '../nn/module.ts';
import { Random, Stream } from '../tensor/philox.ts';
import { argmax } from '../tensor/reduce.ts';
import { scope, type Tensor } from '../tensor/tensor.ts';

const SAMPLES = 8;

export async function saveSamples(
  device: Device,
  model: Module,
  split: DeviceSplit,
  attack: AttackSettings,
  data: DataSet,
  seed: number,
  path: string,
): Promise<void> {
  model.eval();
  split.seek(0);
  const made = scope(device, () => {
    const { images, labels } = split.batch(Math.min(SAMPLES, split.count));
    const adv = pgd(x => model.forward(x), images, labels, attack, new Random(seed, Stream.attack, 2 ** 17));
    const predict = (x: Tensor) => F.noGrad(() => argmax(model.forward(x), { axes: [1] }));
    return { clean: images, adv, labels, predClean: predict(images), predAdv: predict(adv) };
  });
  model.train();
  const floats = async (t: Tensor): Promise<StoredTensor> => ({ dtype: 'F32', shape: t.shape, data: await t.floats() });
  const integers = async (t: Tensor): Promise<StoredTensor> => ({
    dtype: 'I64',
    shape: t.shape,
    data: BigInt64Array.from(Array.from(await t.data(), v => BigInt(v))),
  });
  const tensors = new Map([
    ['clean', await floats(made.clean)],
    ['adv', await floats(made.adv)],
    ['labels', await integers(made.labels)],
    ['pred.clean', await integers(made.predClean)],
    ['pred.adv', await integers(made.predAdv)],
  ]);
  for (const t of Object.values(made)) t.dispose();
  writeSafetensors(path, tensors, { classes: JSON.stringify(data.classes), eps: String(attack.eps) });
}
