/** A captured step: the same bits as eager, fixed memory, changing inputs. */
import { describe, expect, it } from 'vitest';
import { ValidationError } from '../../src/device/index.ts';
import { conv2d, conv2dWeightGrad } from '../../src/tensor/conv.ts';
import { add, elementwise, mul, sub } from '../../src/tensor/elementwise.ts';
import { matmul } from '../../src/tensor/linalg.ts';
import { Random } from '../../src/tensor/philox.ts';
import { randomUniform, randomWords } from '../../src/tensor/random.ts';
import { mean, sum } from '../../src/tensor/reduce.ts';
import { selectMask } from '../../src/tensor/select.ts';
import { copyInto } from '../../src/tensor/shape.ts';
import { capture, full, ones, scope, type Tensor, tensor, zeros } from '../../src/tensor/tensor.ts';
import { fromRef, random, testDevice } from '../engine.ts';

const device = await testDevice();

/** A step of many kinds of kernels, with temporaries. */
function work(x: Tensor, w: Tensor) {
  const y = elementwise('relu', [conv2d(x, w, { padding: 1 })]);
  const mask = selectMask(w, 20, { by: 'magnitude' });
  const moved = sub(w, mul(conv2dWeightGrad(x, y, w.shape, { padding: 1 }), 0.01));
  return { loss: mean(y), w: mul(moved, mask), rows: matmul(y.reshape([4, -1]), y.reshape([4, -1]), { transposeB: true }) };
}

describe('capture', () => {
  it('packs the weights of a convolution once, and again after a kernel changed them', async () => {
    const x = fromRef(device, random([2, 3, 6, 5], 1));
    const w = fromRef(device, random([4, 3, 3, 3], 2));
    const values = await w.data();
    const twiceThenDoubled = () => {
      const [first, second] = [conv2d(x, w), conv2d(x, w)];
      copyInto(mul(w, 2), w);
      return { first, second, third: conv2d(x, w) };
    };
    const step = capture(device, twiceThenDoubled);
    expect(step.capture.programs().filter(p => p.label.startsWith('conv_pack'))).toHaveLength(2);
    for (let i = 0; i < 2; i++) {
      w.write(values); // a replay packs what the weights hold then
      const { first, second, third } = step.run();
      const plain = await first.data();
      expect(plain).toEqual(await second.data());
      expect(await third.data()).toEqual(plain.map(v => 2 * v));
      values.forEach((v, at) => {
        values[at] = -v;
      });
    }
    step.dispose();
    for (const t of [x, w]) t.dispose();
  });

  it('replays the same bits as eager, again and again, with what the inputs hold then', async () => {
    const x = fromRef(device, random([2, 3, 9, 7], 1));
    const w = fromRef(device, random([4, 3, 3, 3], 2));
    const step = capture(device, () => work(x, w));
    await step.capture.ready();
    for (const seed of [1, 5, 9]) {
      x.write(random([2, 3, 9, 7], seed).data);
      const eager = scope(device, () => work(x, w));
      const replayed = step.run();
      for (const name of ['loss', 'w', 'rows'] as const) {
        expect(await replayed[name].data()).toEqual(await eager[name].data());
        eager[name].dispose();
      }
    }
    step.dispose();
    for (const t of [x, w]) t.dispose();
  });

  it('nothing runs before the first run, and a replay makes no buffers and moves no memory', async () => {
    const x = ones(device, [100]);
    const total = zeros(device, [1]);
    await device.sync();
    const before = device.stats.dispatches;
    const step = capture(device, () => {
      const y = add(mul(x, 2), 1);
      return sum(y);
    });
    expect(device.stats.dispatches).toBe(before);
    await step.capture.ready();
    expect(await step.run().item()).toBe(300);
    const { buffersMade, live, pooled, pipelines } = device.stats;
    for (let i = 0; i < 50; i++) step.run();
    await device.sync();
    expect(device.stats).toMatchObject({ buffersMade, live, pooled, pipelines });
    expect(device.stats.dispatches - before).toBe(51 * step.capture.length);
    step.dispose();
    for (const t of [x, total]) t.dispose();
  });

  it('steps that write into their own inputs advance from replay to replay', async () => {
    const x = tensor(device, [1]);
    const step = capture(device, () => {
      const doubled = mul(x, 2);
      device.dispatch(copyProgram, [doubled.storage, x.storage], undefined, [1, 1, 1]);
    });
    for (let i = 0; i < 10; i++) step.run();
    expect(await x.item()).toBe(1024);
    step.dispose();
    x.dispose();
  });
  const copyProgram = {
    label: 'test copy one',
    code: `@group(0) @binding(1) var<storage, read> a: array<f32>;
      @group(0) @binding(2) var<storage, read_write> b: array<f32>;
      @compute @workgroup_size(1) fn main() { b[0] = a[0]; }`,
    entry: 'main',
    bindings: ['read', 'write'],
    uniform: false,
  } as const;

  it('intermediate memory is not disturbed by eager work between replays', async () => {
    const x = tensor(device, [1, 2, 3]);
    const step = capture(device, () => add(mul(x, 3), mul(x, 4)));
    for (let i = 0; i < 5; i++) {
      const result = step.run();
      const noise = Array.from({ length: 20 }, (_, k) => add(ones(device, [3]), k));
      expect([...(await result.data())]).toEqual([7, 14, 21]);
      for (const t of noise) t.dispose();
    }
    step.dispose();
    x.dispose();
  });

  it('a step captured after the end of all others is as undisturbed as the first', async () => {
    const x = tensor(device, [1, 2, 3]);
    for (let generation = 0; generation < 3; generation++) {
      const steps = [2, 3].map(factor => capture(device, () => add(mul(x, factor), mul(x, 4))));
      for (const [i, step] of steps.entries()) {
        const others = Array.from({ length: 20 }, (_, k) => full(device, [3], k));
        expect([...(await step.run().data())]).toEqual([1, 2, 3].map(v => v * (i + 6)));
        expect((await Promise.all(others.map(t => t.data()))).map(v => v[0])).toEqual(others.map((_, k) => k));
        for (const t of others) t.dispose();
      }
      for (const step of steps) step.dispose();
    }
    x.dispose();
  });

  it('draws anew where a step tensor is raised', async () => {
    const step = tensor(device, [0], [1], 'u32');
    const random = new Random(4);
    const draw = capture(device, () => ({
      words: randomWords(device, [8], random, { step }),
      u: randomUniform(device, [8], random, 0, 1, { step }),
    }));
    const seen = new Set<string>();
    for (let i = 0; i < 4; i++) {
      step.write([i]);
      const { words, u } = draw.run();
      expect(await words.data()).toEqual(new Random(4, random.stream, i * 2 ** 32).words(8));
      seen.add([...(await u.data())].join());
    }
    expect(seen.size).toBe(4);
    draw.dispose();
    step.dispose();
  });

  it('dispose gives every byte back, but not what was made outside', async () => {
    const x = ones(device, [5000]);
    const before = device.stats.live;
    const held = device.stats.live + device.stats.pooled;
    const step = capture(device, () => [add(x, 1), x]);
    step.run();
    expect(device.stats.live).toBeGreaterThan(before);
    step.dispose();
    step.dispose();
    expect(device.stats.live).toBe(before);
    expect(device.stats.live + device.stats.pooled).toBeGreaterThanOrEqual(held);
    expect((await x.floats())[4999]).toBe(1);
    expect(() => step.run()).toThrow('after it was disposed');
    x.dispose();
  });

  describe('refuses to run, and leaves all memory alone, where a tensor was given back', () => {
    type Made = ReturnType<typeof capture>;
    const cases: [string, () => Made][] = [
      ['that left its scope', () => scope(device, () => captured(zeros(device, [32])))],
      [
        'that was disposed after an earlier run',
        () => {
          const x = zeros(device, [32]);
          const step = captured(x);
          step.run();
          x.dispose();
          return step;
        },
      ],
      [
        'that was disposed while it was recorded',
        () => {
          const x = zeros(device, [32]);
          return capture(device, () => {
            const y = mul(x, 2);
            x.dispose();
            return y;
          });
        },
      ],
      [
        'that is its result',
        () => {
          const step = captured(zeros(device, [32]));
          step.result.dispose();
          return step;
        },
      ],
      [
        'that is the result of a disposed step',
        () => {
          const first = captured(zeros(device, [32]));
          const second = captured(first.result);
          first.dispose();
          return second;
        },
      ],
    ];
    /** Reads x, and writes it too. */
    const captured = (x: Tensor) =>
      capture(device, () => {
        const y = mul(x, 2);
        copyInto(add(y, 1), x);
        return y;
      });

    it.each(cases)('%s', async (_, make) => {
      const step = make();
      const others = Array.from({ length: 20 }, () => full(device, [32], 7));
      expect(() => step.run()).toThrow(ValidationError);
      expect(() => step.run()).toThrow(/uses a tensor that was disposed or left its scope: keep\(\) it \(argument \d of \w+/);
      for (const t of others) expect(new Set(await t.data())).toEqual(new Set([7]));
      step.dispose();
      for (const t of others) t.dispose();
    });

    it('but not where that came and went while it was recorded, or was kept', async () => {
      const step = scope(device, () => captured(zeros(device, [32]).keep()));
      step.run();
      expect([...(await step.run().data())]).toEqual(Array(32).fill(2));
      step.dispose();
    });
  });

  it('inside a scope, results belong to the step', async () => {
    const x = ones(device, [3]);
    const step = scope(device, () => {
      const captured = capture(device, () => add(x, 1));
      return { ...captured, result: undefined };
    });
    step.capture.run();
    await device.sync();
    step.capture.dispose();
    x.dispose();
  });

  it('refuses readback, writing from the host, and nesting inside; and leaves the device usable', async () => {
    const refuse = (inside: () => unknown, message: string) => {
      expect(() => capture(device, inside)).toThrow(ValidationError);
      expect(() => capture(device, inside)).toThrow(message);
    };
    refuse(() => tensor(device, [1]), 'host data cannot be written inside a captured step');
    refuse(() => capture(device, () => {}), 'captures do not nest');
    let reading: Promise<unknown> | undefined;
    capture(device, () => {
      reading = ones(device, [1]).data();
    }).dispose();
    await expect(reading).rejects.toThrow('a captured step cannot read back');
    const x = tensor(device, [4]);
    expect(await x.item()).toBe(4);
    x.dispose();
  });

  it('refuses to run or dispose of another step inside, which stays as it is', async () => {
    const total = zeros(device, [1]);
    const other = capture(device, () => copyInto(add(total, 1), total));
    const inside: [string, () => void][] = [
      ['cannot run another', () => other.run()],
      ['cannot be disposed of while another is recorded', () => other.dispose()],
    ];
    for (const [message, misuse] of inside) {
      const build = () => {
        const before = add(total, 10);
        misuse();
        return before;
      };
      expect(() => capture(device, build)).toThrow(ValidationError);
      expect(() => capture(device, build)).toThrow(message);
    }
    expect(await total.item()).toBe(0);
    other.run();
    expect(await total.item()).toBe(1);
    other.dispose();
    expect(() => other.run()).toThrow('after it was disposed');
    total.dispose();
  });

  it('more dispatches than the ring of uniform blocks holds', async () => {
    const x = tensor(device, [0]);
    const step = capture(device, () => {
      let y = add(x, 0);
      for (let i = 1; i <= 1500; i++) y = add(y, i % 7);
      return y;
    });
    let expected = 0;
    for (let i = 1; i <= 1500; i++) expected += i % 7;
    expect(await step.run().item()).toBe(expected);
    expect(await step.run().item()).toBe(expected);
    step.dispose();
    x.dispose();
  });
});
