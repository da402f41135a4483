/**
 * `sparrow export`: ONNX files, decoded and run in float64 by test/reference/onnx.ts, give the network's own logits; .pth and safetensors files hold its state_dict and
 * train and score as the checkpoint does.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { readSafetensors, writeSafetensors } from '../../src/data/files.ts';
import { publishedStatistics } from '../../src/data/index.ts';
import { parsePth } from '../../src/data/pth.ts';
import { encodePth } from '../../src/data/pth-writer.ts';
import { shapes } from '../../src/data/shapes.ts';
import { SparrowError } from '../../src/errors.ts';
import { type Network, setWidths, widthsOf } from '../../src/nn/channels.ts';
import { ChannelNorm, Linear, Sequential } from '../../src/nn/layers.ts';
import { createModel } from '../../src/nn/models/index.ts';
import { Module } from '../../src/nn/module.ts';
import { readState } from '../../src/nn/state.ts';
import { Random } from '../../src/tensor/philox.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { encodeCheckpoint, type Identity } from '../../src/train/checkpoint.ts';
import { resolveConfig } from '../../src/train/config.ts';
import { exportCheckpoint } from '../../src/train/export.ts';
import { resolveExport } from '../../src/train/export-settings.ts';
import { onnxGraph } from '../../src/train/onnx-graph.ts';
import { trainRun } from '../../src/train/run.ts';
import { inProcess, inProcessJson } from '../cli/in-process.ts';
import { random, run, testDevice } from '../engine.ts';
import { readOnnx, runOnnx } from '../reference/onnx.ts';

const device = await testDevice();
const folder = mkdtempSync(join(tmpdir(), 'sparrow-export-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = (name: string) => join(folder, name);
const json = (...args: string[]) => inProcessJson(args);
const nothing = { masks: new Map(), momentum: new Map(), fired: new Map(), denseMomentum: new Map() };

/** A network whose batch norms hide nothing behind zeros and ones, and its checkpoint. */
async function network(identity: Identity) {
  const { shape, mean, std } = publishedStatistics(identity.dataset)!;
  const model = createModel(identity.arch, { device, random: new Random(5) }, { ...identity, mean, std });
  if (identity.widths) setWidths(model, identity.widths, 'x');
  for (const [i, [name, t]] of [...model.state()].entries()) {
    const positive = /running_var|bn.*weight/.test(name);
    if (positive || /running_mean|bias/.test(name)) t.write(random(t.shape, i, positive ? 0.5 : -0.3, positive ? 1.5 : 0.3).data);
  }
  model.eval();
  const file = path(`${identity.arch}-${identity.dataset}.safetensors`);
  const state = await readState(model);
  writeFileSync(
    file,
    encodeCheckpoint({ ...identity, shape, ...nothing, model: state, epoch: 1, iteration: 2, history: [], random: 0, state: 0 }),
  );
  return { model, file, state, shape };
}

const write = (to: 'onnx' | 'pth' | 'safetensors', checkpoint: string, more = {}) => {
  const out = path(`out.${to}`);
  return exportCheckpoint(resolveExport({ checkpoint, to, out, ...more })).then(result => ({ result, out }));
};

describe('ONNX', () => {
  it.each<[string, Identity]>([
    ['PreActResNet-18', { arch: 'resnet18', dataset: 'cifar10', classes: 10, width: 2 }],
    ['PreActResNet-50 on 64x64 images', { arch: 'resnet50', dataset: 'tinyimagenet', classes: 200, width: 1 }],
    ['VGG-11', { arch: 'vgg11_bn', dataset: 'cifar100', classes: 100, width: 2 }],
    ['WRN-10-2', { arch: 'wideresnet', dataset: 'svhn', classes: 10, width: 8, depthFactor: 10, widthFactor: 2 }],
    ['the small network of the demo', { arch: 'resnet8', dataset: 'shapes', classes: 10, width: 3 }],
  ])('%s gives the logits of the network, and its constants have the names of the state_dict', async (_, identity) => {
    const { model, file, state, shape } = await network(identity);
    const { result, out } = await write('onnx', file);
    const onnx = readOnnx(readFileSync(out));
    expect(onnx).toMatchObject({
      irVersion: 8,
      opset: 17,
      metadata: { arch: identity.arch, dataset: identity.dataset },
      inputs: { images: ['N', ...shape] },
      outputs: { logits: ['N', identity.classes] },
    });
    expect([...onnx.constants.keys()].sort()).toEqual([...state.keys(), 'normalize.mean', 'normalize.std'].sort());
    expect(result).toEqual({ file: out, format: 'onnx', tensors: onnx.constants.size, bytes: readFileSync(out).length });
    const x = random([2, ...shape], 3, 0, 1);
    const [expected] = await run(device, [x], images => model.forward(images));
    const logits = runOnnx(onnx, x);
    expect(logits.shape).toEqual(expected.shape);
    const scale = Math.max(...expected.data.map(Math.abs));
    expect(Math.max(...logits.data.map((v, i) => Math.abs(v - expected.data[i]))) / scale).toBeLessThan(2e-5);
    model.dispose();
  });

  it('of a network whose channels were pruned has the channels that are left', async () => {
    const identity: Identity = { arch: 'resnet8', dataset: 'shapes', classes: 10, width: 4 };
    const whole = await network(identity);
    const widths = Object.fromEntries(Object.entries(widthsOf(whole.model as Network)).map(([name, n]) => [name, n - 1]));
    const { model, file, shape } = await network({ ...identity, widths });
    const onnx = readOnnx(readFileSync((await write('onnx', file)).out));
    expect(onnx.constants.get('conv1.weight')!.shape).toEqual([3, 3, 3, 3]);
    const x = random([1, ...shape], 4, 0, 1);
    const [expected] = await run(device, [x], images => model.forward(images));
    const logits = runOnnx(onnx, x);
    expect(Math.max(...logits.data.map((v, i) => Math.abs(v - expected.data[i])))).toBeLessThan(1e-4);
    for (const m of [model, whole.model]) m.dispose();
  });

  it('refuses an operation that it has no node for, by its name', () => {
    class Squashed extends Module {
      readonly normalize = new ChannelNorm({ device, random: new Random(1) }, [0], [1]);
      readonly layers = new Sequential(new Linear({ device, random: new Random(1) }, 4, 2));
      forward(x: Tensor): Tensor {
        return F.sigmoid(this.layers.forward(F.flatten(this.normalize.forward(x))));
      }
    }
    const graph = () => onnxGraph(device, new Squashed(), [1, 2, 2], new Map(), { mean: [0], std: [1] });
    expect(graph).toThrow(
      new SparrowError('the network cannot be exported: its operation sigmoid has no counterpart in ONNX here'),
    );
  });

  it("a checkpoint's own normalisation goes with it, without its data and whatever data set is named", async () => {
    const { file, state } = await network({ arch: 'resnet8', dataset: 'shapes', classes: 10, width: 2 });
    const normalisation = { mean: [0.25, 0.5, 0.75], std: [0.5, 0.25, 0.125] };
    const about = { arch: 'resnet8', dataset: 'folder', classes: 10, width: 2, shape: [3, 16, 16], normalisation };
    const rest = { epoch: 1, iteration: 2, history: [], random: 0, state: 0 };
    const stated = path('stated.safetensors');
    writeFileSync(stated, encodeCheckpoint({ ...about, ...nothing, model: state, ...rest }));
    const values = (tensors: ReadonlyMap<string, { data: ArrayLike<number | bigint> }>) =>
      ['mean', 'std'].map(key => Array.from(tensors.get(`normalize.${key}`)!.data, Number));
    const wanted = [normalisation.mean, normalisation.std];
    for (const more of [{}, { dataset: 'svhn' }]) {
      const onnx = readOnnx(readFileSync((await write('onnx', stated, more)).out));
      expect([onnx.inputs, values(onnx.constants)]).toEqual([{ images: ['N', 3, 16, 16] }, wanted]);
      expect(values(readSafetensors((await write('safetensors', stated, more)).out).tensors)).toEqual(wanted);
    }
    // an older file names its data set, whose statistics are known
    const onnx = readOnnx(readFileSync((await write('onnx', file, { dataset: 'svhn' })).out));
    expect(values(onnx.constants)[0][0]).toBeCloseTo(0.317, 6);
  });

  it('says what a plain state_dict and a data set without published means need', async () => {
    const { file } = await network({ arch: 'resnet8', dataset: 'shapes', classes: 10, width: 2 });
    const { out: plain } = await write('safetensors', file);
    await expect(write('onnx', plain)).rejects.toThrow(`--dataset is required: ${plain} does not name its data set`);
    await expect(write('onnx', plain, { dataset: 'shapes' })).rejects.toThrow(
      `${plain}: does not name its architecture: give --arch`,
    );
    await expect(write('onnx', file, { dataset: 'folder' })).rejects.toThrow('--data is required: the means and the image size');
    const { out } = await write('onnx', plain, { dataset: 'svhn', arch: 'resnet8', width: 2 });
    const { outputs, constants } = readOnnx(readFileSync(out));
    expect(outputs).toEqual({ logits: ['N', 10] });
    expect(constants.get('normalize.mean')!.data[0]).toBeCloseTo(0.317, 6); // its own, not svhn's
  });
});

describe('state_dicts of a network whose channels were pruned', () => {
  it('hold the channels that are left, the same in both formats, and are read again as what they are', async () => {
    const identity: Identity = { arch: 'resnet8', dataset: 'shapes', classes: 10, width: 4 };
    const whole = await network(identity);
    const widths = Object.fromEntries(
      Object.entries(widthsOf(whole.model as Network)).map(([name, n], i) => [name, n - 1 - (i % 2)]),
    );
    const { model, file, state } = await network({ ...identity, widths });
    const { out } = await write('safetensors', file);
    const { tensors } = readSafetensors(out);
    expect(tensors.get('blocks.1.conv1.weight')!.shape).toEqual([widths['blocks.1.conv1'], widths.conv1, 3, 3]);
    for (const [name, { shape, data }] of state) {
      const found = tensors.get(name)!;
      expect([name, found.shape, Array.from(found.data, Number)]).toEqual([name, [...shape], [...data]]);
    }
    expect(tensors.size).toBe(state.size + 2); // and the normalisation
    const { out: torch } = await write('pth', file);
    expect(new Map([...parsePth(readFileSync(torch), 'x')].sort())).toEqual(new Map([...tensors].sort()));
    const asked = [
      '--dataset',
      'shapes',
      '--arch',
      'resnet8',
      '--width',
      '4',
      '--limit',
      '64',
      '--attack',
      'none',
      '--json',
      '--quiet',
    ];
    const scores = [];
    for (const checkpoint of [file, out, torch]) {
      const { code, stdout, stderr } = await inProcess(['eval', '--checkpoint', checkpoint, ...asked]);
      expect([code, stderr]).toEqual([0, '']);
      const { n, sa } = JSON.parse(stdout);
      scores.push({ n, sa });
    }
    expect(scores).toEqual(Array(3).fill({ n: 64, sa: scores[0].sa }));
    for (const m of [model, whole.model]) m.dispose();
  });
});

describe('state_dicts of a run under a mask', () => {
  const small = { dataset: 'shapes', arch: 'resnet8', width: 2, mode: 'sgd', testStep: 1, batchSize: 8 } as const;
  const data = shapes({ seed: 3, train: 16, val: 8, test: 8 });
  const trained = path('run');
  const checkpoint = join(trained, 'checkpoint.safetensors');
  beforeAll(async () => {
    await trainRun(resolveConfig({ ...small, fb: true, ema: 0.5, epochs: 1, saveDir: trained }), {}, { device, data });
  });

  it('are the average, with the normalisation and without masks and momentum, the same in both formats', async () => {
    const { tensors: saved } = readSafetensors(checkpoint);
    const names = [...saved.keys()].filter(name => name.startsWith('ema.')).map(name => name.slice(4));
    const { out } = await write('safetensors', checkpoint);
    const { tensors, metadata } = readSafetensors(out);
    expect(metadata).toEqual({ format: 'pt' });
    expect([...tensors.keys()].sort()).toEqual([...names, 'normalize.mean', 'normalize.std'].sort());
    for (const name of names) expect([name, tensors.get(name)!.data]).toEqual([name, saved.get(`ema.${name}`)!.data]);
    expect(tensors.get('normalize.std')).toEqual({ dtype: 'F32', shape: [3], data: Float32Array.of(0.158, 0.158, 0.158) });
    const pth = parsePth(readFileSync((await write('pth', checkpoint)).out), 'x');
    expect(new Map([...pth].sort())).toEqual(new Map([...tensors].sort()));
    const mask = saved.get('mask.linear.weight')!.data as Uint8Array;
    expect(mask).toContain(0);
    expect([...pth.get('linear.weight')!.data].every((w, i) => mask[i] === 1 || Number(w) === 0)).toBe(true);
  });

  it('score and train as the checkpoint does: --pretrained, --init, eval and inspect take a .pth file', async () => {
    const { out } = await write('pth', checkpoint);
    const evaluated = ['--dataset', 'shapes', '--arch', 'resnet8', '--width', '2'];
    const common = [...evaluated, '--eval-limit', '8', '--test-step', '1'];
    const { attacks, sa } = await json('train', '--eval', '--pretrained', checkpoint, ...common);
    const { attacks: again, sa: sameSa } = await json('train', '--eval', '--pretrained', out, ...common);
    expect([sameSa, again['pgd-1'].ra]).toEqual([sa, attacks['pgd-1'].ra]);
    const scored = await json('eval', '--checkpoint', out, ...evaluated, '--limit', '8', '--attack', 'pgd-1');
    expect(scored).toMatchObject({ n: 8, sa });
    const short = [
      '--mode',
      'sgd',
      '--limit',
      '8',
      '--epochs',
      '1',
      '--lr',
      '0',
      '--batch-size',
      '8',
      '--save-dir',
      path('again'),
    ];
    await json('train', '--init', out, ...common, ...short);
    const weights = readSafetensors(path('again/checkpoint.safetensors')).tensors.get('linear.weight')!.data;
    expect(weights).toEqual(parsePth(readFileSync(out), 'x').get('linear.weight')!.data);
    const inspected = JSON.parse((await inProcess(['inspect', out, '--json'])).stdout);
    expect(inspected.layers.map((l: { name: string }) => l.name)).toContain('linear.weight');
  });

  it('says how far it is, to the end', async () => {
    for (const to of ['onnx', 'safetensors'] as const) {
      const done: number[] = [];
      const settings = resolveExport({ checkpoint, to, out: path('told') });
      await exportCheckpoint(settings, { onProgress: p => done.push(p.done / p.total!) });
      expect(done).toEqual([0, 1 / 3, 2 / 3, 1]);
    }
  });

  it('is written by the command, whole or not at all', async () => {
    const out = path('by-command.pth');
    const { file, format, bytes } = await json('export', '--checkpoint', checkpoint, '--to', 'pth', '--out', out);
    expect({ file, format, bytes }).toEqual({ file: out, format: 'pth', bytes: readFileSync(out).length });
    const before = readdirSync(folder);
    const there = (code: number, ...args: string[]) =>
      inProcess(['export', ...args]).then(o => expect([o.code, o.stdout]).toEqual([code, '']));
    await there(2, '--checkpoint', checkpoint, '--to', 'caffe', '--out', path('x'));
    await there(2, '--checkpoint', checkpoint, '--to', 'pth');
    await there(1, '--checkpoint', path('none'), '--to', 'pth', '--out', path('x'));
    await there(1, '--checkpoint', checkpoint, '--to', 'pth', '--out', path('none/x'));
    expect(readdirSync(folder)).toEqual(before);
  });

  it('of a DataParallel model of the reference implementation, in a checkpoint of its, are taken too', async () => {
    const { tensors } = readSafetensors((await write('safetensors', checkpoint)).out);
    const wrapped = path('wrapped.pth');
    writeFileSync(wrapped, encodePth(new Map([...tensors].map(([name, t]) => [`module.${name}`, t]))));
    const { out } = await write('safetensors', wrapped);
    expect(readSafetensors(out).tensors).toEqual(tensors);
    const other = path('other.safetensors');
    writeSafetensors(other, new Map([...tensors].filter(([name]) => name !== 'linear.bias')));
    const network = ['--dataset', 'shapes', '--arch', 'resnet8', '--width', '2'];
    const { code, stderr } = await inProcess(['eval', '--checkpoint', other, ...network]);
    expect([code, stderr]).toEqual([1, `sparrow: ${other}: does not fit the model: 1 missing: linear.bias\n`]);
  });
});
