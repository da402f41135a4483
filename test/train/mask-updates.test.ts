/** When masks are updated and by which numbers, method by method, against the schedules of their papers. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resolveConfig, type TrainConfig } from '../../src/train/config.ts';
import { idleNotice, type Position, plannedUpdate, rateAt } from '../../src/train/mask-updates.ts';
import type { EpochHistory } from '../../src/train/metrics.ts';

const perEpoch = 100;
const epochs = 40;
const total = perEpoch * epochs;

const configOf = (given: Partial<TrainConfig>) => resolveConfig({ dataset: 'shapes', arch: 'resnet8', epochs, ...given });

/** An epoch's history with a gap of `gap` between the training and the validation RA. */
const row = (gap: number, valLoss: number) => ({ trainRa: 0.5 + gap, valRa: 0.5, valLoss }) as EpochHistory;

/** Every update of a run. */
function updatesOf(given: Partial<TrainConfig>, history: readonly EpochHistory[] = []) {
  const config = configOf(given);
  const updates = config.mode === 'free' ? config.replays : 1;
  return Array.from({ length: total }, (_, i) => i + 1).flatMap(steps => {
    const at: Position = { done: steps, perEpoch, total, updates, epoch: Math.floor((steps - 1) / perEpoch), history };
    const planned = plannedUpdate(config, at);
    return planned ? [{ steps, ...planned }] : [];
  });
}

const multiples = (of: number, from: number, to: number) =>
  Array.from({ length: Math.floor(to / of) }, (_, i) => (i + 1) * of).filter(n => n >= from);
const cosine = (initial: number, part: number) => 0.005 + ((initial - 0.005) * (1 + Math.cos(Math.PI * part))) / 2;

describe('updates of a run', () => {
  it('Flying Bird: every 900 steps to the end, r along a cosine from .5 to .005 over the whole run', () => {
    const found = updatesOf({ fb: true });
    expect(found.map(u => u.steps)).toEqual([900, 1800, 2700, 3600]);
    for (const { steps, update, deciding } of found) {
      expect(update.rate).toBeCloseTo(cosine(0.5, steps / total), 12);
      expect([update.death, update.growth, deciding]).toEqual(['magnitude', 'random', false]);
    }
  });

  it('with --dynamic-fre every 1200 steps once the epoch is beyond the half', () => {
    // epoch 21 begins after 2100 steps
    expect(updatesOf({ fb: true, dynamicFre: true }).map(u => u.steps)).toEqual([900, 1800, 2400, 3600]);
  });

  it('RigL: every 100 steps until 3/4 of the run, where its cosine from .3 has come down; by magnitude and gradient', () => {
    const found = updatesOf({ rigl: true });
    expect(found.map(u => u.steps)).toEqual(multiples(100, 1, 3000));
    for (const { steps, update } of found) expect(update.rate).toBeCloseTo(cosine(0.3, steps / 3000), 12);
    expect(found[0].update).toMatchObject({ death: 'magnitude', growth: 'gradient', redistribution: 'none' });
    expect(configOf({ rigl: true }).sparseInit).toBe('erk');
    expect(rateAt(configOf({ rigl: true }), total, total)).toBeCloseTo(0.005, 12);
  });

  it('SET: after every epoch but the last, always .3, by sign and at random; ITOP: every 1500 steps, by magnitude and at random', () => {
    const set = updatesOf({ set: true });
    expect(set.map(u => [u.steps, u.update.rate])).toEqual(multiples(perEpoch, 1, total - 1).map(steps => [steps, 0.3]));
    expect(set[0].update).toMatchObject({ death: 'SET', growth: 'random' });
    const itop = updatesOf({ itop: true });
    expect(itop.map(u => u.steps)).toEqual([1500, 3000]);
    expect(itop[0].update).toMatchObject({ death: 'magnitude', growth: 'random' });
    expect(itop[0].update.rate).toBeCloseTo(cosine(0.5, 1500 / total), 12);
  });

  it('takes another interval where one is given, and epochs for any method', () => {
    expect(updatesOf({ set: true, updateFrequency: 1000 }).map(u => u.steps)).toEqual([1000, 2000, 3000, 4000]);
    expect(updatesOf({ rigl: true, updateFrequency: 'epoch' }).map(u => u.steps)).toEqual(multiples(perEpoch, 1, 3000));
  });

  it('counts the optimiser steps of free training, of which a batch has several', () => {
    // 900 steps are 112.5 batches of eight: those in the middle of a batch wait for its end
    expect(updatesOf({ fb: true, mode: 'free' }).map(u => u.steps)).toEqual(multiples(112.5, 1, total).map(Math.ceil));
    expect(updatesOf({ fb: true, mode: 'free', replays: 1 })).toEqual(updatesOf({ fb: true }));
    expect(updatesOf({ fb: true, mode: 'free', updateFrequency: 3 })).toHaveLength(total); // no more than one after a batch
    expect(updatesOf({ set: true, mode: 'free' }).map(u => u.steps)).toEqual(updatesOf({ set: true }).map(u => u.steps));
    expect(updatesOf({ rigl: true, mode: 'free' })[0].update.rate).toBeCloseTo(cosine(0.3, 13 / 3000), 12);
  });

  it('Flying Bird+: decisions from --dynamic-epoch on, those of Flying Bird before', () => {
    const widening = [row(0.1, 1.5), row(0.2, 1.4), row(0.3, 1.3)]; // the gap grows, the loss falls
    const found = updatesOf({ fbp: true, dynamicEpoch: 20 }, widening);
    expect(found.map(u => [u.steps, u.deciding, u.update.decisions])).toEqual([
      [900, false, { prune: false, grow: false }],
      [1800, false, { prune: false, grow: false }],
      [2700, true, { prune: true, grow: false }],
      [3600, true, { prune: true, grow: false }],
    ]);
    const rising = [row(0.3, 1.3), row(0.2, 1.4), row(0.1, 1.5)];
    expect(updatesOf({ fbp: true, dynamicEpoch: 0 }, rising)[0].update.decisions).toEqual({ prune: false, grow: true });
    expect(updatesOf({ fb: true, dynamicEpoch: 0 }, widening)[3].deciding).toBe(false);
  });

  it('Flying Bird+ of standard training decides by the gap of clean accuracies', () => {
    const epoch = (valSa: number, valRa: number) => ({ trainRa: 0.9, valSa, valRa, valLoss: 1 }) as EpochHistory;
    const decided = (history: EpochHistory[], mode: TrainConfig['mode']) =>
      updatesOf({ fbp: true, dynamicEpoch: 0, mode }, history)[0].update.decisions.prune;
    const losing = [epoch(0.8, 0.3), epoch(0.8, 0.2), epoch(0.8, 0.1)]; // only under attack
    expect([decided(losing, 'sgd'), decided(losing, 'pgd')]).toEqual([false, true]);
    const widening = [epoch(0.8, 0.3), epoch(0.7, 0.3), epoch(0.6, 0.3)];
    expect([decided(widening, 'sgd'), decided(widening, 'pgd')]).toEqual([true, false]);
  });
});

describe('a run in which nothing falls due', () => {
  const idle = (given: Partial<TrainConfig>) =>
    idleNotice(configOf(given), perEpoch, given.mode === 'free' ? 8 : 1, given.density ?? 0.2);

  it.each<[Partial<TrainConfig>, string]>([
    [{ fb: true, epochs: 5 }, "the run's 500 optimiser steps with --update-frequency 900; lower it"],
    [{ fbp: true, epochs: 5 }, "the run's 500 optimiser steps with --update-frequency 900; lower it"],
    [
      { fb: true, epochs: 10, dynamicFre: true },
      "the run's 1000 optimiser steps with --update-frequency 900 and --second-frequency 1200; lower them",
    ],
    [
      { fb: true, epochs: 2, mode: 'free', updateFrequency: 1700 },
      "the run's 1600 optimiser steps with --update-frequency 1700; lower it",
    ],
    [{ set: true, epochs: 1 }, "the run's 100 optimiser steps with --update-frequency epoch; lower it"],
    [{ rigl: true, epochs: 1 }, "the run's 75 optimiser steps until --update-end 0.75 with --update-frequency 100; lower it"],
    [{ itop: true, epochs: 14 }, "the run's 1400 optimiser steps with --update-frequency 1500; lower it"],
    [
      { fb: true, updateEnd: 0 },
      "the run's 0 optimiser steps until --update-end 0 with --update-frequency 900; raise --update-end",
    ],
  ])('says what to set where the mask never moves: %j', (given, where) => {
    const rule = Object.keys(given)[0];
    expect(idle(given)).toBe(`--${rule}: the mask never moves: no update is due in ${where}`);
  });

  it('says so where every layer is dense', () => {
    expect(idle({ fb: true, density: 1 })).toBe('--fb: the mask never moves: --density 1 leaves every layer dense; lower it');
  });

  it.each([40, 36])('says so where Flying Bird+ never decides: from epoch %i of 0-39 on', dynamicEpoch => {
    expect(idle({ fbp: true, dynamicEpoch })).toBe(
      `--fbp: never decides: no mask update of epochs 0-39 is due from --dynamic-epoch ${dynamicEpoch} on; lower it`,
    );
    expect(idle({ fbp: true, dynamicEpoch: 35 })).toBeUndefined(); // the last update is that after 3600 steps
  });

  it('is one without a mask update, or Flying Bird+ without a decision', () => {
    const settings = fc.record({
      rule: fc.constantFrom('fb', 'fbp', 'set', 'rigl', 'itop'),
      updateFrequency: fc.constantFrom<number | 'epoch'>('epoch', 90, 900, 3999, 4000, 4001),
      secondFrequency: fc.constantFrom(90, 3900, 4100),
      dynamicFre: fc.boolean(),
      updateEnd: fc.constantFrom(0.01, 0.75, 1),
      dynamicEpoch: fc.integer({ min: 0, max: 45 }),
    });
    fc.assert(
      fc.property(settings, ({ rule, ...rest }) => {
        const given = { ...rest, [rule]: true };
        const found = updatesOf(given);
        expect(idle(given) === undefined).toBe(found.some(u => u.deciding || rule !== 'fbp'));
      }),
    );
  });
});
