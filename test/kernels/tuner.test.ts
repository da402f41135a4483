/** Choosing by measuring, on work whose fastest variant is known: fills of different length. */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type Capture, uniform } from '../../src/device/index.ts';
import { choicesOf, useChoices, type Variant } from '../../src/kernels/choices.ts';
import { fillFloat } from '../../src/kernels/fill.ts';
import { program } from '../../src/kernels/kernel.ts';
import { beats, choose } from '../../src/kernels/tuner.ts';
import { outOfMemory } from '../device/out-of-memory.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();
afterEach(() => useChoices(device, new Map()));

/** Work as long as `fills` says; by default 200: so much more than the fastest that no noise of a machine hides it. */
const SIZE = 2 ** 14;
const record = (variant: Variant | null): Capture =>
  device.capture(
    () => {
      const y = device.allocate(4 * SIZE);
      for (let i = 0; i < ((variant?.fills as number) ?? 200); i++) fillFloat(device, y, SIZE, i);
    },
    () => [],
  ).capture;

describe('choose', () => {
  it('takes the fastest, keeps it for the key, and leaves no memory behind', async () => {
    useChoices(device, new Map([['other work', { variant: null, best: 1, default: 1 }]]));
    const before = device.stats.live;
    const contest = await choose(device, 'fills', [{ fills: 100 }, { fills: 4 }, { fills: 600 }], record);
    expect(contest).toMatchObject({ variant: { fills: 4 }, tried: 3, refused: [] });
    expect(contest.best).toBeLessThan(contest.default);
    expect([...choicesOf(device).keys()]).toEqual(['other work', 'fills']);
    const { variant, best, default: byDefault } = contest;
    expect(choicesOf(device).get('fills')).toEqual({ variant, best, default: byDefault });
    expect(device.stats.live).toBe(before);
  });

  it('keeps the default where nothing is faster, and says so by null', async () => {
    const { variant, best, default: byDefault } = await choose(device, 'fills', [{ fills: 450 }, { fills: 750 }], record);
    expect([variant, best]).toEqual([null, byDefault]);
  });

  it('gives the time of one of several repeats', async () => {
    const once = await choose(device, 'once', [], record);
    const each = await choose(device, 'each', [], record, 10);
    expect(each.default).toBeLessThan(once.default / 3);
  });

  const fill = program('fill', 'w');
  const broken = { ...fill, label: 'broken fill', code: 'fn main() { nonsense', uniform: false };
  it.each<[string, string, () => void]>([
    ['does not compile', 'fill', () => device.dispatch(broken, [device.allocate(4)], undefined, [1, 1, 1])],
    ['exceeds a limit', 'fill', () => device.dispatch(fill, [device.allocate(4)], uniform(), [1e9, 1, 1])],
    ['needs too large a buffer', 'for one buffer', () => device.allocate(2 ** 50)],
    ['finds no memory left', 'no room', () => void device.gpu.dispatchEvent(outOfMemory())],
    ['makes a buffer that the device refuses', 'usage', () => void device.gpu.createBuffer({ size: 4, usage: 0 })],
  ])('leaves a candidate out that %s', async (_, reason, launch) => {
    const before = device.stats.live;
    const some = (variant: Variant | null) => (variant?.refuse ? device.capture(launch, () => []).capture : record(variant));
    const contest = await choose(device, 'fills', [{ refuse: true }, { fills: 4 }], some);
    expect(contest).toMatchObject({ variant: { fills: 4 }, tried: 1, refused: [expect.stringMatching(/^true: /)] });
    await expect(choose(device, 'none', [{ fills: 4 }], v => some(v ?? { refuse: true }))).rejects.toThrow(reason);
    expect(choicesOf(device).has('none')).toBe(false);
    expect(device.stats.live).toBe(before);
  });
});

describe('beats', () => {
  const times = fc.array(fc.double({ min: 0.1, max: 1e3, noNaN: true }), { minLength: 1, maxLength: 9 });

  it('needs more than 3 %, whatever the unit', () => {
    fc.assert(
      fc.property(times, fc.double({ min: 1, max: 2, noNaN: true }), (byDefault, factor) => {
        fc.pre(Math.abs(factor - 1.03) > 1e-9);
        const faster = byDefault.map(t => t / factor);
        expect(beats(faster, byDefault)).toBe(factor > 1.03);
        expect(beats(byDefault, faster)).toBe(false);
      }),
    );
  });

  it('needs to win four of five turns', () => {
    expect(beats([1, 1, 1, 1, 9], [2, 2, 2, 2, 2])).toBe(true);
    expect(beats([1, 1, 1, 9, 9], [2, 2, 2, 2, 2])).toBe(false);
  });
});
