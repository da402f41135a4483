/** Checkpoints: what they keep, that their bytes depend on the state alone, and what is refused. */
import { describe, expect, it } from 'vitest';
import { encodeSafetensors, parseSafetensors, type StoredTensor } from '../../src/data/safetensors.ts';
import { FileError } from '../../src/errors.ts';
import {
  assertIdentity,
  assertTensors,
  type Checkpoint,
  decodeCheckpoint,
  decodeWeights,
  encodeCheckpoint,
  type HostTensor,
  summariseLayers,
} from '../../src/train/checkpoint.ts';

const filled = (shape: number[], value = (i: number) => i / 7): HostTensor => ({
  shape,
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
});

const history = [
  { epoch: 0, trainRa: 0.2, valSa: 0.4, valRa: 0.25, valLoss: 2.1, testSa: 0.4, testRa: 0.24 },
  { epoch: 1, trainRa: 0.3, valSa: 0.5, valRa: 0.3, valLoss: 1.9, testSa: 0.5, testRa: 0.29 },
].map(row => ({ ...row, lr: 0.1, density: 0.2, deathRate: 0.4, fired: 0.31 }));

function sample(): Checkpoint {
  return {
    arch: 'resnet18',
    dataset: 'cifar10',
    classes: 10,
    width: 16,
    epoch: 2,
    iteration: 704,
    history,
    random: { shuffle: { seed: 1, stream: 2, draw: 2 } },
    state: { best: { epoch: 1, valRa: 0.3 }, sums: [0.1, 1 / 3] },
    model: new Map([
      ['conv1.weight', filled([4, 3, 3, 3])],
      ['bn1.running_mean', filled([4])],
      ['bn1.num_batches_tracked', filled([], () => 774400)],
      ['layer10.weight', filled([2, 4])],
      ['layer2.weight', filled([4, 4], i => i % 2)],
    ]),
    masks: new Map([['conv1.weight', filled([4, 3, 3, 3], i => (i % 4 ? 0 : 1))]]),
    momentum: new Map([['conv1.weight', filled([4, 3, 3, 3], i => -i)]]),
    fired: new Map([['conv1.weight', filled([4, 3, 3, 3], () => 1)]]),
    earlierMasks: new Map([['conv1.weight', filled([4, 3, 3, 3], i => i % 2)]]),
    denseMomentum: new Map([['conv1.weight', filled([4, 3, 3, 3], i => i / 3)]]),
  };
}

/** A checkpoint's file with its metadata or tensors changed. */
function changed(change: (tensors: Map<string, StoredTensor>, metadata: Record<string, string>) => void): Uint8Array {
  const { tensors, metadata } = parseSafetensors(encodeCheckpoint(sample()), 'x');
  change(tensors, metadata);
  return encodeSafetensors(tensors, metadata);
}

describe('a checkpoint', () => {
  it('gives back what was saved', () => {
    expect(decodeCheckpoint(encodeCheckpoint(sample()), 'x')).toEqual(sample());
  });

  it('keeps the normalisation to the last bit; that of an older file is not known', () => {
    const normalisation = { mean: [1 / 3, 0.4914, 0.1], std: [0.247, 2 / 3, 1e-7] };
    expect(decodeCheckpoint(encodeCheckpoint({ ...sample(), normalisation }), 'x').normalisation).toEqual(normalisation);
    expect(decodeCheckpoint(encodeCheckpoint(sample()), 'x').normalisation).toBeUndefined();
  });

  it('uses names and dtypes that PyTorch understands', () => {
    const { tensors, metadata } = parseSafetensors(encodeCheckpoint(sample()), 'x');
    const dtypes = Object.fromEntries([...tensors].map(([name, { dtype }]) => [name, dtype]));
    expect(dtypes).toEqual({
      'conv1.weight': 'F32',
      'bn1.running_mean': 'F32',
      'bn1.num_batches_tracked': 'I64',
      'layer10.weight': 'F32',
      'layer2.weight': 'F32',
      'mask.conv1.weight': 'U8',
      'momentum.conv1.weight': 'F32',
      'fired.conv1.weight': 'U8',
      'earlierMask.conv1.weight': 'U8',
      'denseMomentum.conv1.weight': 'F32',
    });
    expect(tensors.get('bn1.num_batches_tracked')!.data).toEqual(BigInt64Array.of(774400n));
    expect(metadata).toMatchObject({ format: 'sparrow', format_version: '1', arch: 'resnet18', epoch: '2', iteration: '704' });
  });

  it('has the same bytes for the same state: no clock, no order of insertion', () => {
    const timed = history.map(row => ({ ...row, imagesPerSecond: Math.random(), seconds: Math.random() }));
    const model = new Map([...sample().model].reverse());
    expect(encodeCheckpoint({ ...sample(), history: timed, model })).toEqual(encodeCheckpoint(sample()));
  });

  it('reads plain weights, but does not take them for a run', () => {
    const plain = encodeSafetensors(
      new Map([['linear.weight', { dtype: 'F16', shape: [1, 2], data: Uint16Array.of(0x3c00, 0) }]]),
    );
    const { model, masks } = decodeWeights(plain, 'x');
    expect([...model]).toEqual([['linear.weight', { shape: [1, 2], data: Float32Array.of(1, 0) }]]);
    expect(masks.size).toBe(0);
    expect(() => decodeCheckpoint(plain, 'w.safetensors')).toThrow('w.safetensors: holds weights but is not a checkpoint');
  });

  it.each<[string, Parameters<typeof changed>[0], string]>([
    ['a newer format', (_, m) => void (m.format_version = '2'), 'has format version 2, this sparrow reads up to 1'],
    ['a nonsensical version', (_, m) => void (m.format_version = 'new'), 'has format version new'],
    ['missing metadata', (_, m) => void delete m.random, "its metadata lack 'random'"],
    ['a damaged number', (_, m) => void (m.iteration = '-3'), "its metadata 'iteration' is not a whole number"],
    ['damaged JSON', (_, m) => void (m.state = '{'), "its metadata 'state' is not valid JSON"],
    ['a history that is no list', (_, m) => void (m.history = '{}'), "its metadata 'history' is not a list"],
    [
      'a normalisation of several lengths',
      (_, m) => void Object.assign(m, { mean: '0.5,0.5,0.5', std: '0.2,0.2' }),
      "its metadata 'mean' and 'std' are not a number for each channel",
    ],
    [
      'a normalisation that divides by 0',
      (_, m) => void Object.assign(m, { mean: '0.5', std: '0' }),
      "its metadata 'mean' and 'std' are not a number for each channel",
    ],
    ['a mask without its weight', t => void t.delete('conv1.weight'), 'mask.conv1.weight [4,3,3,3] belongs to no tensor'],
    [
      'momentum of another shape',
      t => void t.set('momentum.conv1.weight', { dtype: 'F32', shape: [1], data: new Float32Array(1) }),
      'momentum.conv1.weight [1] belongs to no tensor',
    ],
    [
      'a mask that is none',
      t => void (t.get('mask.conv1.weight')!.data[5] = 2),
      'mask.conv1.weight holds values other than 0 and 1',
    ],
  ])('refuses %s', (_, change, message) => {
    const decode = () => decodeCheckpoint(changed(change), 'run/checkpoint.safetensors');
    expect(decode).toThrow(FileError);
    expect(decode).toThrow(`run/checkpoint.safetensors: ${message}`);
  });
});

describe('fitting a model', () => {
  const expected = () => new Map([...sample().model].map(([name, { shape }]) => [name, shape] as const));

  it('accepts its own tensors, with or without counters', () => {
    assertTensors(sample().model, expected(), 'x');
    const without = sample().model;
    without.delete('bn1.num_batches_tracked');
    assertTensors(without, expected(), 'x');
  });

  it('names the first tensors that do not fit', () => {
    const model = sample().model;
    model.set('conv1.weight', filled([4, 3, 1, 1]));
    for (const name of 'abcde') model.set(`extra.${name}`, filled([1]));
    model.delete('layer2.weight');
    expect(() => assertTensors(model, expected(), 'w.safetensors')).toThrow(
      'w.safetensors: does not fit the model: 1 missing: layer2.weight; ' +
        '5 unexpected: extra.a, extra.b, extra.c and 2 more; 1 of another shape: conv1.weight [4,3,1,1] instead of [4,3,3,3]',
    );
  });

  it('tells a checkpoint of another network', () => {
    assertIdentity(sample(), { arch: 'resnet18', classes: 10 }, 'x');
    expect(() => assertIdentity(sample(), { arch: 'vgg16', width: 64, classes: 10 }, 'w.safetensors')).toThrow(
      'w.safetensors: arch is resnet18, not vgg16; width is 16, not 64',
    );
  });
});

describe('maskable layers', () => {
  it('are summarised by mask or by non-zeros', () => {
    expect(summariseLayers(sample())).toEqual([
      { name: 'conv1.weight', shape: [4, 3, 3, 3], weights: 108, active: 27, masked: true },
      { name: 'layer2.weight', shape: [4, 4], weights: 16, active: 8, masked: false },
      { name: 'layer10.weight', shape: [2, 4], weights: 8, active: 7, masked: false },
    ]);
  });

  it('come from the input to the logits, in the order given or by their names', () => {
    const shapes = {
      'layer10.0.conv1': [1, 1, 1, 1],
      'blocks.0.conv1': [1, 1, 1, 1],
      conv1: [1, 1, 1, 1],
      fc: [1, 1],
      'layer2.0.conv1': [1, 1, 1, 1],
    };
    const model = new Map(Object.entries(shapes).map(([name, shape]) => [`${name}.weight`, filled(shape)]));
    const names = (...order: string[]) =>
      summariseLayers(
        { ...sample(), model },
        order.map(name => `${name}.weight`),
      ).map(l => l.name.replace('.weight', ''));
    expect(names()).toEqual(['conv1', 'blocks.0.conv1', 'layer2.0.conv1', 'layer10.0.conv1', 'fc']);
    expect(names('layer10.0.conv1', 'fc', 'conv1')).toEqual([
      'layer10.0.conv1',
      'fc',
      'conv1',
      'blocks.0.conv1',
      'layer2.0.conv1',
    ]);
  });
});
