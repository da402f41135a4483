/** Waiting with naps: it changes when the event loop turns, and nothing of what is waited for. */
import { describe, expect, it } from 'vitest';
import { patiently } from '../../src/device/platform/patience.ts';

/** Turns of the event loop until `work` is settled. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let settled = false;
  const count = () => {
    turns++;
    if (!settled) setImmediate(count);
  };
  setImmediate(count);
  await work;
  settled = true;
  return turns;
}

const later = <T>(value: T, ms: number) => new Promise<T>(resolve => setTimeout(resolve, ms, value));

describe('patiently', () => {
  it('hands on values and errors', async () => {
    expect(await patiently(later(7, 5))).toBe(7);
    await expect(patiently(Promise.reject(new Error('lost')))).rejects.toThrow('lost');
  });

  it('turns the event loop far less often than a loop without rest', async () => {
    const resting = await turnsDuring(patiently(later(0, 100)));
    const restless = await turnsDuring(later(0, 100));
    expect(resting).toBeLessThan(restless / 4);
  });

  it('goes on napping until the last of several is there, and no longer', async () => {
    const [short, long] = [patiently(later(1, 10)), patiently(later(2, 60))];
    const resting = await turnsDuring(Promise.all([short, long]));
    const restless = await turnsDuring(later(0, 60));
    expect(resting).toBeLessThan(restless / 4);
  });
});
