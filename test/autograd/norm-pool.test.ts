/** Derivatives of batch normalisation (train and eval mode, with and without ReLU) and of pooling. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as F from '../../src/autograd/index.ts';
import { ones, scope, type Tensor, zeros } from '../../src/tensor/tensor.ts';
import { between, checkGradient, forAll, fromRef, random, rounded, run, seeds, testDevice } from '../engine.ts';
import { map, type Ref, zip } from '../reference/array.ts';
import * as norm from '../reference/norm.ts';
import * as pool from '../reference/pool.ts';
import { distinct } from '../reference/random.ts';
import { checkOperation, type Operation } from './operation.ts';

const device = await testDevice();

describe('batchNorm', () => {
  const eps = 1e-5;
  const onDevice =
    (train: boolean, relu: boolean, running?: { mean: Ref; variance: Ref }) => (x: Tensor, gamma: Tensor, beta: Tensor) => {
      const c = gamma.size;
      const [mean, variance] = running
        ? [fromRef(device, running.mean), fromRef(device, running.variance)]
        : [zeros(device, [c]), ones(device, [c])];
      return F.batchNorm(x, gamma, beta, { train, eps, relu, running: { mean, var: variance, momentum: 0.1 } });
    };

  /** [N, C, ...] with eight values a channel or more: with two, x̂ is ±1 whatever x is, and float32 has nothing left of the gradient.
   * For the same reason two channels or more, and wider bounds: Σ g·x̂ of a single channel can come close to 0. */
  const examples = fc
    .tuple(between(1, 5), between(2, 6), fc.constantFrom<number[][]>([], [3], [4, 4], [3, 5], [2, 2]), seeds)
    .filter(([n, , rest]) => n * rest.reduce((a, b) => a * b, 1) >= 8);

  const inputs = ([n, c, rest, seed]: [number, number, number[], number]) => [
    random([n, c, ...rest], seed + 11, -2, 3),
    random([c], seed + 12, 0.5, 1.5),
    random([c], seed + 13),
  ];

  const bounds = { gradient: 5e-5, second: 2e-4 };

  it.each([true, false])('refuses another number of channels, train %s, naming both shapes', train => {
    const norm = (shape: number[], sizes: Record<string, number> = {}) => {
      const { gamma = 4, beta = 4, mean = 4, variance = 4 } = sizes;
      const t = (n: number) => zeros(device, [n]);
      const options = { train, eps, running: { mean: t(mean), var: t(variance), momentum: 0.1 } };
      return () => scope(device, () => F.batchNorm(zeros(device, shape), t(gamma), t(beta), options));
    };
    const wanted = (name: string) => `batch norm of [2,4,3,3] with ${name} [3]: 4 elements are wanted, one a channel`;
    expect(norm([2, 4, 3, 3], { gamma: 3 })).toThrow(wanted('gamma'));
    expect(norm([2, 4, 3, 3], { beta: 3 })).toThrow(wanted('beta'));
    expect(norm([2, 4, 3, 3], { mean: 3 })).toThrow(wanted('running mean'));
    expect(norm([2, 4, 3, 3], { variance: 3 })).toThrow(wanted('running variance'));
    expect(norm([8])).toThrow('batch norm of [8]: [N, C, ...] is wanted');
    expect(norm([2, 4, 3, 3])).not.toThrow();
  });

  it('refuses one value a channel in train mode, which has no variance', () => {
    const norm = (shape: number[], train: boolean) => () => {
      const t = () => zeros(device, [4]);
      const options = { train, eps, running: { mean: t(), var: t(), momentum: 0.1 } };
      scope(device, () => F.batchNorm(zeros(device, shape), t(), t(), options));
    };
    for (const shape of [
      [1, 4],
      [1, 4, 1, 1],
    ])
      expect(norm(shape, true)).toThrow(`batch norm of [${shape}] in train mode: more than one value a channel is wanted`);
    for (const shape of [
      [2, 4],
      [1, 4, 2, 1],
    ])
      expect(norm(shape, true)).not.toThrow();
    expect(norm([1, 4, 1, 1], false)).not.toThrow();
  });

  /** No derivative where the ReLU bends: whether every value is well away from there. */
  const awayFromKinks = (y: Ref) => y.data.every(v => Math.abs(v) > 5e-4);

  it.each([false, true])('train mode, relu %s', async relu => {
    const op: Operation = {
      name: relu ? 'batchNorm train + relu' : 'batchNorm train',
      device: onDevice(true, relu),
      forward: (x, gamma, beta) => norm.batchNormTrain.forward(x, gamma, beta, { relu }),
      backward: (g, x, gamma, beta) => norm.batchNormTrain.backward(x, gamma, beta, { relu }, g),
    };
    await forAll(
      examples,
      example => {
        const [x, gamma, beta] = inputs(example);
        if (relu) fc.pre(awayFromKinks(norm.batchNormTrain.forward(x, gamma, beta)));
        return checkOperation(device, op, [x, gamma, beta], example[3], bounds);
      },
      20,
    );
  });

  it.each([false, true])('eval mode, relu %s', async relu => {
    await forAll(
      examples,
      example => {
        const [x, gamma, beta] = inputs(example);
        const c = example[1];
        const running = { mean: random([c], example[3] + 1), variance: random([c], example[3] + 2, 0.5, 2) };
        if (relu) fc.pre(awayFromKinks(norm.batchNormEval.forward(x, gamma, beta, running)));
        const op: Operation = {
          name: relu ? 'batchNorm eval + relu' : 'batchNorm eval',
          device: onDevice(false, relu, running),
          forward: (a, b, d) => norm.batchNormEval.forward(a, b, d, running, { relu }),
          backward: (g, a, b, d) => norm.batchNormEval.backward(a, b, d, running, { relu }, g),
        };
        return checkOperation(device, op, [x, gamma, beta], example[3], bounds);
      },
      20,
    );
  });

  it('adds what other uses of its input gave: of a leaf, of a result, twice, and recorded', async () => {
    const [x, gamma, beta] = inputs([4, 3, [2, 2], 7]);
    const g = random(x.shape, 8);
    const layer = onDevice(true, true);
    /** y = 2h + relu(norm(h)) + relu(norm(h)) by h and by x, where h = 3x or x itself. */
    const gradients = (factor: number, createGraph: boolean) => (tx: Tensor, tgamma: Tensor, tbeta: Tensor, tg: Tensor) => {
      const leaf = F.track(tx);
      const h = factor === 1 ? leaf : F.mul(leaf, factor);
      const y = [layer(h, tgamma, tbeta), layer(h, tgamma, tbeta)].reduce(F.add, F.mul(h, 2));
      return F.grad(y, [h, leaf], { seed: tg, createGraph });
    };
    for (const factor of [1, 3]) {
      const h = map(x, v => factor * v);
      const [dh] = norm.batchNormTrain.backward(h, gamma, beta, { relu: true }, g);
      const byH = zip(g, dh, (a, b) => 2 * a + 2 * b);
      for (const createGraph of [false, true]) {
        const found = await run(device, [x, gamma, beta, g], gradients(factor, createGraph));
        checkGradient('batchNorm train + relu', found, [byH, map(byH, v => factor * v)], bounds.gradient);
      }
    }
  });

  it('the recorded backward needs no tracked input, and counts a layer used twice once a use', async () => {
    const [x, gamma, beta] = inputs([4, 1, [2, 2], 5]);
    const g = random(x.shape, 6);
    const layer = onDevice(true, false);
    const twice = (createGraph: boolean) => (tx: Tensor, tgamma: Tensor, tbeta: Tensor, tg: Tensor) => {
      const parameters = [F.track(tgamma), F.track(tbeta)];
      return F.grad(layer(layer(tx, tgamma, tbeta), tgamma, tbeta), parameters, { seed: tg, createGraph });
    };
    const plain = await run(device, [x, gamma, beta, g], twice(false));
    const recorded = await run(device, [x, gamma, beta, g], twice(true));
    const middle = norm.batchNormTrain.forward(x, gamma, beta);
    const [dMiddle, dGamma, dBeta] = norm.batchNormTrain.backward(middle, gamma, beta, {}, g);
    const [, dGamma1, dBeta1] = norm.batchNormTrain.backward(x, gamma, beta, {}, dMiddle);
    const expected = [dGamma, dBeta].map((d, i) => ({
      shape: d.shape,
      data: d.data.map((v, k) => v + [dGamma1, dBeta1][i].data[k]),
    }));
    checkGradient('batchNorm train', plain, expected);
    checkGradient('batchNorm train', recorded, expected);
  });
});

describe('pooling', () => {
  const examples = fc.tuple(
    between(1, 2),
    between(1, 3),
    between(3, 8),
    between(3, 9),
    between(1, 3),
    between(1, 3),
    fc.boolean(),
    seeds,
  );
  const settings = ([, , , , kernel, stride, padded]: readonly unknown[]) => {
    const [k, s] = [kernel as number, stride as number];
    const padding = padded ? Math.floor(k / 2) : 0;
    const pairs: pool.PoolOptions = { kernel: [k, k], stride: [s, s], padding: [padding, padding] };
    return { options: { kernel: k, stride: s, padding }, pairs };
  };

  it('maxPool2d', async () => {
    await forAll(
      examples,
      example => {
        const [n, c, h, w, , , , seed] = example;
        const { options, pairs } = settings(example);
        const op: Operation = {
          name: 'maxPool2d',
          device: x => F.maxPool2d(x, options),
          forward: x => pool.maxPool2d.forward(x, pairs),
          backward: (g, x) => pool.maxPool2d.backward(x, pairs, g),
        };
        return checkOperation(device, op, [rounded(distinct([n, c, h, w], seed))], seed, { forward: 0 });
      },
      15,
    );
  });

  it('maxPool2d gives the gradient of equal values to the first', async () => {
    const x = { shape: [1, 1, 2, 3], data: Float64Array.of(1, 1, 0, 1, 1, 1) };
    const [g] = await run(device, [x], t => F.grad(F.maxPool2d(F.track(t), { kernel: 2, stride: 1 }), [t]));
    expect([...g.data]).toEqual([1, 1, 0, 0, 0, 0]);
  });

  it('avgPool2d, padding counted or not', async () => {
    await forAll(
      fc.tuple(examples, fc.boolean()),
      ([example, countIncludePad]) => {
        const [n, c, h, w, , , , seed] = example;
        const { options, pairs } = settings(example);
        const expected = { ...pairs, countIncludePad };
        const op: Operation = {
          name: 'avgPool2d',
          device: x => F.avgPool2d(x, { ...options, countIncludePad }),
          forward: x => pool.avgPool2d.forward(x, expected),
          backward: (g, x) => pool.avgPool2d.backward(x, expected, g),
        };
        return checkOperation(device, op, [random([n, c, h, w], seed + 3)], seed);
      },
      15,
    );
  });

  it('adaptiveAvgPool2d', async () => {
    await forAll(
      fc.tuple(between(1, 2), between(1, 3), between(1, 8), between(1, 9), between(1, 5), between(1, 4), seeds),
      ([n, c, h, w, rows, columns, seed]) => {
        const size: [number, number] = [rows, columns];
        const op: Operation = {
          name: 'adaptiveAvgPool2d',
          device: x => F.adaptiveAvgPool2d(x, size),
          forward: x => pool.adaptiveAvgPool2d.forward(x, size),
          backward: (g, x) => pool.adaptiveAvgPool2d.backward(x, size, g),
        };
        return checkOperation(device, op, [random([n, c, h, w], seed + 3)], seed);
      },
      15,
    );
  });
});
