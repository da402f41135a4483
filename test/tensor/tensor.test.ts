/** Making and reading tensors, views, scopes. */
import { describe, expect, it } from 'vitest';
import { add } from '../../src/tensor/elementwise.ts';
import { capture, empty, fill, full, ones, packedBytes, scope, tensor, zeros } from '../../src/tensor/tensor.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
const live = () => device.stats.live;

describe('tensors', () => {
  it('hold what they were made with, by type', async () => {
    const made = scope(device, () => [
      tensor(device, [1.5, -2, 3], [3, 1]),
      tensor(device, [-1, 2], [2], 'i32'),
      tensor(device, [4e9, 2], [2], 'u32'),
      ones(device, [2]),
      zeros(device, [2]),
      full(device, [2], -7, 'i32'),
      full(device, [3], 0.1),
      packedBytes(device, Uint8Array.of(1, 2, 3, 4, 5)),
    ]);
    const data = [];
    for (const t of made) data.push([t.dtype, t.shape, [...(await t.data())]]);
    expect(data).toEqual([
      ['f32', [3, 1], [1.5, -2, 3]],
      ['i32', [2], [-1, 2]],
      ['u32', [2], [4e9, 2]],
      ['f32', [2], [1, 1]],
      ['f32', [2], [0, 0]],
      ['i32', [2], [-7, -7]],
      ['f32', [3], [0.1, 0.1, 0.1].map(Math.fround)],
      ['u32', [2], [0x04030201, 5]],
    ]);
    for (const t of made) t.dispose();
  });

  it('take their type from an array of integers, and read integers as floats', async () => {
    const made = [Int32Array.of(-1, 2), Uint32Array.of(4e9, 2), Float32Array.of(-1, 2), Uint8Array.of(1, 2)].map(values =>
      tensor(device, values),
    );
    expect(made.map(t => t.dtype)).toEqual(['i32', 'u32', 'f32', 'f32']);
    expect(await Promise.all(made.map(async t => [...(await t.data())]))).toEqual([
      [-1, 2],
      [4e9, 2],
      [-1, 2],
      [1, 2],
    ]);
    expect(await Promise.all(made.map(t => t.floats()))).toEqual([
      Float32Array.of(-1, 2),
      Float32Array.of(4e9, 2),
      Float32Array.of(-1, 2),
      Float32Array.of(1, 2),
    ]);
    const converted = tensor(device, Int32Array.of(-1, 2), [2], 'f32');
    expect(await converted.data()).toEqual(Float32Array.of(-1, 2));
    for (const t of [...made, converted]) t.dispose();
  });

  it('write, fill and item', async () => {
    const t = tensor(device, [1]);
    expect(await t.write([5]).item()).toBe(5);
    fill(t, 0.5);
    expect(await t.item()).toBe(0.5);
    expect(() => t.write([1, 2])).toThrow('2 values for a tensor of shape [1]');
    t.dispose();
    const pair = zeros(device, [2]);
    await expect(pair.item()).rejects.toThrow('it has 2 elements');
    pair.dispose();
  });

  it('a write does not disturb what was launched before it', async () => {
    const x = tensor(device, [1, 2]);
    const before = add(x, 10);
    x.write([3, 4]);
    const after = add(x, 10);
    expect([...(await before.data()), ...(await after.data())]).toEqual([11, 12, 13, 14]);
    for (const t of [x, before, after]) t.dispose();
  });

  it('a disposed tensor is an error to use, also when its memory is already another tensor', async () => {
    const x = tensor(device, [1, 2, 3]);
    const inner = scope(device, () => ({ view: x.reshape([3, 1]), sums: [add(x, 1)] }));
    x.dispose();
    inner.view.dispose();
    const another = tensor(device, [4, 5, 6]);
    await expect(x.data()).rejects.toThrow('read of a tensor of shape [3] that was disposed');
    await expect(inner.view.floats()).rejects.toThrow('read of a tensor of shape [3,1] that was disposed');
    expect(() => x.write([7, 8, 9])).toThrow('write of a tensor of shape [3] that was disposed');
    expect(() => x.reshape([1, 3])).toThrow('given back');
    expect(() => add(x, 1)).toThrow('given back before it was used');
    let left = another;
    scope(device, () => void (left = add(another, 1)));
    await expect(left.data()).rejects.toThrow('left its scope');
    expect([...(await another.data()), ...(await inner.sums[0].data())]).toEqual([4, 5, 6, 2, 3, 4]);
    for (const t of [another, ...inner.sums]) t.dispose();
  });

  it('reshape shares memory, infers one size, and refuses others', async () => {
    const x = tensor(device, [1, 2, 3, 4, 5, 6]);
    const view = x.reshape([2, -1]);
    expect(view.shape).toEqual([2, 3]);
    x.write([6, 5, 4, 3, 2, 1]);
    x.dispose();
    expect([...(await view.data())]).toEqual([6, 5, 4, 3, 2, 1]);
    expect(() => view.reshape([4])).toThrow('reshape of [2,3] to [4]');
    expect(() => view.reshape([4, -1])).toThrow('reshape of [2,3] to [4,-1]');
    view.dispose();
  });
});

describe('dispose', () => {
  it('twice takes nothing from a view', async () => {
    const before = live();
    const x = tensor(device, [1, 2, 3]);
    const view = x.reshape([3, 1]);
    x.dispose();
    x.dispose();
    const another = tensor(device, [4, 5, 6]);
    expect([...(await view.data())]).toEqual([1, 2, 3]);
    for (const t of [view, another]) t.dispose();
    expect(live()).toBe(before);
  });
});

describe('scopes', () => {
  it('may return maps and sets, and so may captured steps', async () => {
    const before = live();
    const { map, set } = scope(device, () => ({
      map: new Map([['a', ones(device, [300])]]),
      set: new Set([[ones(device, [300])]]),
    }));
    const [inSet] = [...set][0];
    expect(await map.get('a')!.floats()).toEqual(await inSet.floats());
    const step = capture(device, () => new Map([['sum', add(inSet, 1)]]));
    expect((await step.run().get('sum')!.floats())[299]).toBe(2);
    step.dispose();
    for (const t of [...map.values(), inSet]) t.dispose();
    expect(live()).toBe(before);
  });

  it('give everything back but what they return', async () => {
    const before = live();
    const kept = scope(device, () => {
      const a = ones(device, [1000]);
      const b = add(a, a);
      return { nested: [add(b, a)], text: 'x' };
    });
    expect(live() - before).toBe(kept.nested[0].storage.bytes);
    expect((await kept.nested[0].floats()).every(v => v === 3)).toBe(true);
    kept.nested[0].dispose();
    expect(live()).toBe(before);
  });

  it('nest: an inner result belongs to the outer scope', () => {
    const before = live();
    scope(device, () => {
      const inner = scope(device, () => add(ones(device, [3]), 1));
      add(inner, 1);
    });
    expect(live()).toBe(before);
  });

  it('a returned view keeps its memory, and so does a tensor returned twice', async () => {
    const before = live();
    const [view, again] = scope(device, () => {
      const view = tensor(device, [1, 2, 3, 4]).reshape([2, 2]);
      return [view, view];
    });
    expect(again).toBe(view);
    expect([...(await view.data())]).toEqual([1, 2, 3, 4]);
    view.dispose();
    expect(live()).toBe(before);
  });

  it('keep takes a tensor out; disposing inside gives back once', () => {
    const before = live();
    const kept = scope(device, () => {
      const t = zeros(device, [10]).keep();
      ones(device, [10]).dispose();
      const size = t.storage.bytes;
      return () => {
        t.dispose();
        return size;
      };
    });
    expect(live() - before).toBe(kept());
    expect(live()).toBe(before);
  });

  it('a tensor from outside stays what it was, returned or not', async () => {
    const x = tensor(device, [1]);
    expect(scope(device, () => x)).toBe(x);
    expect(await x.item()).toBe(1);
    x.dispose();
  });

  it('an error inside gives everything back too', () => {
    const before = live();
    expect(() =>
      scope(device, () => {
        ones(device, [100]);
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(live()).toBe(before);
  });

  it('refuse asynchronous work', () => {
    expect(() => scope(device, async () => 1)).toThrow('a scope is synchronous');
  });

  it('use after dispose is an error that names the kernel', () => {
    const x = ones(device, [2]);
    x.dispose();
    x.dispose(); // twice does no harm
    expect(() => add(x, 1)).toThrow(/elementwise.*argument 0 was given back/);
  });

  it('an empty tensor takes memory for nothing but its handle', () => {
    const t = empty(device, [0, 5]);
    expect([t.size, t.storage.bytes]).toEqual([0, 256]);
    t.dispose();
  });
});
