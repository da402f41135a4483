/** `--precision f16`: where the adapter has no matrix units it trains in f32, to the bit; where it has, training follows f32; and the rounding alone harms none. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { Training } from '../../src/cli/bench/training.ts';
import { shapes } from '../../src/data/shapes.ts';
import { type Device, openDevice, type Precision } from '../../src/device/index.ts';
import { resolveConfig } from '../../src/train/config.ts';
import { trainRun } from '../../src/train/run.ts';
import { map, type Ref, ref } from '../reference/array.ts';
import { conv2d, plainConv } from '../reference/conv.ts';
import { roundToHalf } from '../reference/half.ts';
import { crossEntropy } from '../reference/loss.ts';
import { uniform } from '../reference/random.ts';

const devices = { f32: await openDevice(), f16: await openDevice({ precision: 'f16' }) };
const folder = mkdtempSync(join(tmpdir(), 'sparrow-precision-'));
afterAll(() => {
  for (const device of Object.values(devices)) device.close();
  rmSync(folder, { recursive: true, force: true });
});
const { matrixUnits } = devices.f16.adapter;

describe.skipIf(matrixUnits)('without matrix units (skipped where the adapter has some)', () => {
  it('f16 is f32: the same weights to the bit, and a line that says so', async () => {
    expect(devices.f16.precision).toBe('f32');
    const data = shapes({ seed: 3, train: 16, val: 8, test: 8 });
    const small = { dataset: 'shapes', arch: 'resnet8', width: 4, batchSize: 8, epochs: 1, trainStep: 1, testStep: 1 } as const;
    const weights = async (precision: Precision) => {
      const saveDir = join(folder, precision);
      const notices: string[] = [];
      const onNotice = (line: string) => void notices.push(line);
      await trainRun(resolveConfig({ ...small, precision, saveDir }), { onNotice }, { device: devices[precision], data });
      return { notices, tensors: readFileSync(join(saveDir, 'best-ra.safetensors')) };
    };
    const [f32, f16] = [await weights('f32'), await weights('f16')];
    expect(f32.notices).toEqual([]);
    expect(f16.notices).toEqual(['--precision f16: the adapter has no matrix units, f32 is used']);
    expect(f16.tensors.equals(f32.tensors)).toBe(true);
  });
});

describe.skipIf(!matrixUnits)('on matrix units (skipped where the adapter has none)', () => {
  it('training in f16 follows f32', async () => {
    const losses = async (device: Device) => {
      const training = new Training(device, { arch: 'resnet8', width: 16, batchSize: 32, attackSteps: 2, repeatable: true });
      const found: number[] = [];
      for (let i = 0; i < 12; i++) found.push(await training.lossOfStep());
      training.dispose();
      return found;
    };
    const [wanted, rounded] = [await losses(devices.f32), await losses(devices.f16)];
    expect(devices.f16.precision).toBe('f16');
    expect(rounded).not.toEqual(wanted);
    expect(wanted.at(-1)).toBeLessThan(wanted[0]);
    for (const [i, loss] of rounded.entries()) expect(Math.abs(loss / wanted[i] - 1)).toBeLessThan(i < 2 ? 0.01 : 0.1);
  });
});

/** What gradients are multiplied with before they are rounded: see conv-matrix.ts. */
const SCALE = 1024;

describe('rounding to f16', () => {
  it('takes the nearest value, ties to even', () => {
    const ulp = 2 ** -10;
    expect([1, 1 + ulp / 2, 1 + 1.5 * ulp, 1 - ulp / 4, 65504, 65519].map(roundToHalf)).toEqual([
      1,
      1,
      1 + 2 * ulp,
      1,
      65504,
      65504,
    ]);
    expect([65520, -1e9, 2 ** -24, 2 ** -25, 3 * 2 ** -25, 0].map(roundToHalf)).toEqual([
      Infinity,
      -Infinity,
      2 ** -24,
      0,
      2 ** -23,
      0,
    ]);
  });

  it('loses 2^-11 of a value at most, of a scaled gradient down to 6e-8', () => {
    fc.assert(
      fc.property(fc.double({ min: 6.2e-5, max: 6e4, noNaN: true }), value => {
        expect(Math.abs(roundToHalf(value) / value - 1)).toBeLessThanOrEqual(2 ** -11);
        const gradient = value / SCALE;
        expect(Math.abs(roundToHalf(SCALE * gradient) / SCALE / gradient - 1)).toBeLessThanOrEqual(2 ** -11 + 1e-12);
      }),
    );
  });

  it('of the operands of convolutions leaves training as it is', () => {
    const exact = lossesOfTraining(v => v);
    const rounded = lossesOfTraining(roundToHalf);
    expect(exact.at(-1)! / exact[0]).toBeLessThan(0.8);
    expect(rounded).not.toEqual(exact);
    for (const [i, loss] of rounded.entries()) expect(Math.abs(loss / exact[i] - 1)).toBeLessThan(2e-3);
  });
});

/**
 * Losses of a network of two convolutions with a ReLU between, whose classes are the means of its output channels, trained on random images
 * in float64. @param round what operands of convolutions go through, in all three passes
 */
function lossesOfTraining(round: (value: number) => number): number[] {
  const options = { ...plainConv, padding: [1, 1] as [number, number] };
  const [n, classes, side] = [12, 3, 6];
  const x = uniform([n, 4, side, side], 1, -1, 1);
  const labels = Array.from({ length: n }, (_, i) => i % classes);
  const weights = [uniform([8, 4, 3, 3], 2, -0.3, 0.3), uniform([classes, 8, 3, 3], 3, -0.3, 0.3)];
  const plane = side * side;
  const backward = (input: Ref, w: Ref, g: Ref) =>
    conv2d
      .backward(
        map(input, round),
        map(w, round),
        options,
        map(g, v => round(SCALE * v)),
      )
      .map(r => map(r, v => v / SCALE));
  const losses: number[] = [];
  for (let step = 0; step < 20; step++) {
    const inner = conv2d.forward(map(x, round), map(weights[0], round), options);
    const relu = map(inner, v => Math.max(v, 0));
    const outer = conv2d.forward(map(relu, round), map(weights[1], round), options);
    const logits = ref([n, classes]);
    outer.data.forEach((v, i) => {
      logits.data[Math.floor(i / plane)] += v / plane;
    });
    losses.push(crossEntropy.forward(logits, labels, {}).data[0]);
    const byLogits = crossEntropy.backward(logits, labels, {}, ref([], 1));
    const byOuter = ref(
      outer.shape,
      outer.data.map((_, i) => byLogits.data[Math.floor(i / plane)] / plane),
    );
    const [byRelu, bySecond] = backward(relu, weights[1], byOuter);
    const [, byFirst] = backward(
      x,
      weights[0],
      ref(
        inner.shape,
        inner.data.map((v, i) => (v > 0 ? byRelu.data[i] : 0)),
      ),
    );
    for (const [k, g] of [byFirst, bySecond].entries()) weights[k].data.forEach((v, i, w) => void (w[i] = v - g.data[i]));
  }
  return losses;
}
