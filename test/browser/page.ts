/**
 * What is computed both in Node and in a browser to compare the numbers. Each exported function opens a device, and returns plain
 * arrays; a test calls it here and in the page.
 */
import { pgd } from '../../src/adv/pgd.ts';
import * as F from '../../src/autograd/index.ts';
import { type Device, openDevice, type Storage } from '../../src/device/index.ts';
import { choicesOf, choicesPlace, loadChoices } from '../../src/kernels/choices.ts';
import { convForward } from '../../src/kernels/conv.ts';
import { convKey } from '../../src/kernels/conv-choices.ts';
import { elementwise } from '../../src/kernels/elementwise.ts';
import { fillFloat } from '../../src/kernels/fill.ts';
import { matmul } from '../../src/kernels/matmul.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { Sgd } from '../../src/nn/optim.ts';
import { tuneModel } from '../../src/nn/tune.ts';
import { Masks } from '../../src/sparse/masks.ts';
import { Random } from '../../src/tensor/philox.ts';
import { capture, type Tensor, tensor } from '../../src/tensor/tensor.ts';

/** Values in [-1, 1) without any regularity, the same everywhere. */
function values(count: number, seed: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, i) => (Math.imul(i + 1, 2654435761 + 2 * seed) >>> 8) / 2 ** 23 - 1);
}

function upload(device: Device, data: Float32Array<ArrayBuffer>): Storage {
  const storage = device.allocate(data.byteLength);
  device.write(storage, data);
  return storage;
}

async function download(device: Device, storage: Storage, count: number): Promise<number[]> {
  return [...new Float32Array(await device.read(storage, 4 * count))];
}

/** Runs work on SwiftShader (a browser has it by its own switches), and closes the device after it. */
async function onDevice<T>(work: (device: Device) => Promise<T>): Promise<T> {
  const device = await openDevice({ adapter: 'swiftshader' });
  try {
    return await work(device);
  } finally {
    device.close();
  }
}

/** Four kernel families on fixed inputs, by name. */
export function kernels(): Promise<Record<string, number[]>> {
  return onDevice(async device => {
    const filled = device.allocate(4 * 37);
    fillFloat(device, filled, 37, 1 / 3);

    const shape = [5, 7];
    const a = { storage: upload(device, values(35, 1)), strides: [7, 1], size: 35 };
    const row = { storage: upload(device, values(7, 2)), strides: [0, 1], size: 7 };
    const sum = device.allocate(4 * 35);
    elementwise(device, 'axpy', [a, row], sum, shape, [0.7]);
    const curve = device.allocate(4 * 35);
    elementwise(device, 'tanh', [a], curve, shape);

    const [m, n, k] = [19, 21, 33];
    const left = { storage: upload(device, values(m * k, 3)), batch: 0, row: k, col: 1 };
    const right = { storage: upload(device, values(k * n, 4)), batch: 0, row: n, col: 1 };
    const product = device.allocate(4 * m * n);
    matmul(device, left, right, product, 1, m, n, k);

    const conv = { n: 2, ci: 3, h: 9, w: 8, co: 6, oh: 5, ow: 4, kh: 3, kw: 3, stride: 2, padding: 1, dilation: 1, groups: 1 };
    const x = upload(device, values(2 * 3 * 9 * 8, 5));
    const w = upload(device, values(6 * 3 * 3 * 3, 6));
    const y = device.allocate(4 * 2 * 6 * 5 * 4);
    convForward(device, x, w, y, conv);

    return {
      fill: await download(device, filled, 37),
      axpy: await download(device, sum, 35),
      tanh: await download(device, curve, 35),
      matmul: await download(device, product, m * n),
      convForward: await download(device, y, 2 * 6 * 5 * 4),
    };
  });
}

/** Two masked training steps with PGD-2 inside, captured and replayed: losses, attacked images and some weights after. */
export function trainingStep(): Promise<Record<string, number[]>> {
  return onDevice(async device => {
    const make = { device, random: new Random(11) };
    const model = createModel('resnet8', make, { width: 4, classes: 10, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] });
    const parameters = model.parameters();
    const optimiser = new Sgd(parameters, { lr: 0.05, momentum: 0.9, weightDecay: 5e-4 });
    const masks = new Masks(model, 3);
    masks.initialise(0.5, 'igq');
    optimiser.masks = masks.masks;
    const pixels = values(4 * 3 * 16 * 16, 7).map(v => (v + 1) / 2);
    const x = tensor(device, pixels, [4, 3, 16, 16]);
    const y = tensor(device, [1, 5, 9, 0], [4], 'i32');
    const attack = { norm: 'linf', eps: 8 / 255, stepSize: 4 / 255, steps: 2, randomInit: true } as const;
    const step = capture(device, () => {
      const adv = pgd((t: Tensor) => model.forward(t), x, y, attack, new Random(5));
      const loss = F.crossEntropy(model.forward(adv), y);
      const gradients = F.grad(loss, [...parameters.values()]);
      optimiser.step(new Map([...parameters.keys()].map((name, i) => [name, gradients[i]])));
      return { adv, loss };
    });
    const losses: number[] = [];
    for (let i = 0; i < 2; i++) losses.push(await step.run().loss.item());
    return {
      losses,
      adv: [...(await step.result.adv.floats())],
      weights: [...(await parameters.get('blocks.1.conv1.weight')!.floats())],
      mask: [...(await masks.masks.get('blocks.2.conv2.weight')!.floats())],
    };
  });
}

/** A kernel that does not compile: what its error says. */
export function brokenKernel(): Promise<string> {
  return onDevice(async device => {
    const program = { label: 'broken', code: 'fn main( {', entry: 'main', bindings: [], uniform: false };
    return device.compile([program]).then(
      () => 'compiled',
      (error: Error) => `${error.name}: ${error.message.split('\n')[0]}`,
    );
  });
}

/** Measures one convolution of a model, and what another device then knows of it: from local storage in a page. */
export async function tuning(): Promise<{ place: string; measured: string[]; known: string[]; damaged: string }> {
  const measured = await onDevice(async device => {
    const model = createModel(
      'resnet8',
      { device, random: new Random(1) },
      { width: 1, classes: 2, mean: [0, 0, 0], std: [1, 1, 1] },
    );
    const results = await tuneModel(device, model, [1, 3, 8, 8], { budget: 0.05 });
    return results.filter(r => r.state === 'measured').map(convKey);
  });
  const known = await onDevice(async device => {
    const problem = loadChoices(device);
    return problem ? [problem] : [...choicesOf(device).keys()];
  });
  localStorage.setItem('sparrow.kernels', '{');
  const damaged = await onDevice(async device => loadChoices(device) ?? '');
  return { place: choicesPlace(), measured, known, damaged };
}
