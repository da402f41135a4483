/**
 * `npm run check:reference -- FOLDER`: compares this engine with values that PyTorch computed in float64. The folder holds `init`, `eval`, `train`,
 * `pgd`, `sgd` and `at.safetensors` of a thin PreActResNet-18. Prints a row a group with the difference found and its bound; exits 1 if one fails.
 */
import { join } from 'node:path';
import { pgd } from '../src/adv/pgd.ts';
import * as F from '../src/autograd/index.ts';
import { readSafetensors } from '../src/data/files.ts';
import { toFloat32 } from '../src/data/safetensors.ts';
import { openDevice } from '../src/device/index.ts';
import { createModel } from '../src/nn/models/index.ts';
import { Sgd } from '../src/nn/optim.ts';
import { type HostTensor, readState, writeState } from '../src/nn/state.ts';
import { Random } from '../src/tensor/philox.ts';
import { scope, type Tensor, tensor } from '../src/tensor/tensor.ts';

const folder = process.argv[2];
if (!folder) {
  console.error('usage: npm run check:reference -- FOLDER');
  process.exit(2);
}

const load = (name: string): Map<string, HostTensor> => {
  const { tensors } = readSafetensors(join(folder, `${name}.safetensors`));
  return new Map([...tensors].map(([key, t]) => [key, { shape: t.shape, data: toFloat32(t) }]));
};

const init = load('init');
const width = init.get('conv1.weight')!.shape[0];
const classes = init.get('linear.bias')!.shape[0];
const device = await openDevice();
const mean = [0.4914, 0.4822, 0.4465];
const std = [0.247, 0.2435, 0.2616];
const model = createModel('resnet18', { device, random: new Random(0) }, { width, classes, mean, std });
const attack = { norm: 'linf', eps: 8 / 255, stepSize: 2 / 255, steps: 10, randomInit: false } as const;
const forward = (x: Tensor) => model.forward(x);

const rows: { group: string; what: string; found: number; bound: number; ok: boolean }[] = [];
/** Relative L2 difference over several arrays together. */
function compare(group: string, what: string, pairs: [ArrayLike<number>, ArrayLike<number>][], bound: number): void {
  let difference = 0;
  let size = 0;
  for (const [a, b] of pairs) {
    for (let i = 0; i < b.length; i++) {
      difference += (a[i] - b[i]) ** 2;
      size += b[i] ** 2;
    }
  }
  const found = Math.sqrt(difference / size);
  rows.push({ group, what, found, bound, ok: found <= bound });
}

const images = (t: HostTensor) => tensor(device, t.data, t.shape);
const labels = (t: HostTensor) => tensor(device, t.data, t.shape, 'i32');
const part = (t: HostTensor, from: number, to: number): HostTensor => {
  const size = t.data.length / t.shape[0];
  return { shape: [to - from, ...t.shape.slice(1)], data: t.data.subarray(from * size, to * size) };
};

async function checkEval(): Promise<void> {
  const e = load('eval');
  writeState(model, init);
  model.eval();
  const x = F.track(images(e.get('x')!));
  const logits = model.forward(x);
  const loss = F.crossEntropy(logits, labels(e.get('y')!));
  const [gx] = F.grad(loss, [x]);
  compare('eval', 'logits', [[await logits.floats(), e.get('logits')!.data]], 1e-5);
  compare('eval', 'loss', [[await loss.floats(), e.get('loss')!.data]], 1e-5);
  compare('eval', 'gradient by pixels', [[await gx.floats(), e.get('grad.x')!.data]], 1e-4);
}

async function checkTrain(): Promise<void> {
  const e = load('eval');
  const t = load('train');
  writeState(model, init);
  model.train();
  const logits = model.forward(images(e.get('x')!));
  const loss = F.crossEntropy(logits, labels(e.get('y')!));
  const parameters = model.parameters();
  const gradients = F.grad(loss, [...parameters.values()]);
  compare('train', 'logits', [[await logits.floats(), t.get('logits')!.data]], 1e-5);
  compare('train', 'loss', [[await loss.floats(), t.get('loss')!.data]], 1e-5);
  const names = [...parameters.keys()];
  const pairs: [ArrayLike<number>, ArrayLike<number>][] = [];
  for (const [i, name] of names.entries()) pairs.push([await gradients[i].floats(), t.get(`grad.${name}`)!.data]);
  compare('train', `gradients of ${names.length} parameters`, pairs, 1e-4);
  const state = await readState(model);
  const running = [...state.keys()].filter(n => n.includes('running_'));
  compare(
    'train',
    'running statistics after',
    running.map(n => [state.get(n)!.data, t.get(`after.${n}`)!.data]),
    1e-5,
  );
}

async function checkPgd(): Promise<void> {
  const p = load('pgd');
  writeState(model, init);
  model.eval();
  const y = labels(p.get('y')!);
  const adv = pgd(forward, images(p.get('x')!), y, attack, new Random(0));
  const found = await adv.floats();
  const expected = p.get('adv')!.data;
  const equal = found.reduce((n, v, i) => n + (Math.abs(v - expected[i]) < 1e-4 ? 1 : 0), 0) / found.length;
  rows.push({ group: 'pgd', what: 'share of pixels that differ by 1e-4', found: 1 - equal, bound: 1e-3, ok: 1 - equal <= 1e-3 });
  compare('pgd', 'loss of the attacked images', [[await F.crossEntropy(forward(adv), y).floats(), p.get('loss')!.data]], 1e-3);
}

async function checkSteps(group: 'sgd' | 'at', attackSteps: number, bound: number): Promise<void> {
  const r = load(group);
  writeState(model, init);
  model.train();
  const parameters = model.parameters();
  const optimiser = new Sgd(parameters, { lr: 0.02, momentum: 0.9, weightDecay: 5e-4 });
  const losses: number[] = [];
  for (let i = 0; i < 4; i++) {
    const loss = scope(device, () => {
      const x = images(part(r.get('x')!, 16 * i, 16 * i + 16));
      const y = labels(part(r.get('y')!, 16 * i, 16 * i + 16));
      const input = attackSteps ? pgd(forward, x, y, { ...attack, steps: attackSteps }, new Random(0)) : x;
      const value = F.crossEntropy(model.forward(input), y);
      const gradients = F.grad(value, [...parameters.values()]);
      optimiser.step(new Map([...parameters.keys()].map((name, k) => [name, gradients[k]])));
      return value;
    });
    losses.push(await loss.item());
    loss.dispose();
  }
  compare(group, 'losses of 4 steps', [[losses, r.get('losses')!.data]], bound);
  if (group === 'sgd') {
    const state = await readState(model);
    compare(
      group,
      'state after',
      [...state].map(([n, t]) => [t.data, r.get(`after.${n}`)!.data]),
      5e-3,
    );
  }
  optimiser.dispose();
}

await checkEval();
await checkTrain();
await checkPgd();
await checkSteps('sgd', 0, 1e-3);
await checkSteps('at', 3, 2e-2);

console.log(`adapter: ${device.adapter.description}`);
console.log('group  what                                  found     bound    ');
for (const r of rows) {
  console.log(
    `${r.group.padEnd(6)} ${r.what.padEnd(37)} ${r.found.toExponential(2)}  ${r.bound.toExponential(0)}  ${r.ok ? 'ok' : 'FAILED'}`,
  );
}
if (rows.some(r => r.group === 'pgd' && !r.ok)) {
  console.log(
    'pgd: ten steps by the sign of a gradient are chaotic: where a ReLU turns over in one image, all of its pixels may end elsewhere. PyTorch in ' +
      'float64 ends at shares of 8e-3 to 4e-2 in 15 of 16 trials if the weights move by 1e-7 of their size, which is what another order of ' +
      'summation does. If the rows of eval and train hold and the loss agrees, it is that; the bound stays, for adapters that add in the usual order meet it.',
  );
}
device.close();
if (rows.some(r => !r.ok)) process.exitCode = 1;
