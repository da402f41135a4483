/** What an attack refuses before it begins. */
import { expect, it } from 'vitest';
import { largestFile } from '../../src/data/files.ts';
import { SparrowError } from '../../src/errors.ts';
import { checkHeld } from '../../src/train/robustness.ts';

it('images that one file cannot hold are refused, with the number that it can', () => {
  const images = (count: number, largest?: number) => () => checkHeld(count, [3, 64, 64], 200, largest);
  images(10_000)();
  const sample = 4 * 3 * 64 * 64 + 8 + 4 * 200;
  const most = Math.floor((2 ** 32 - 4096) / sample);
  expect(largestFile).toBeGreaterThanOrEqual(2 ** 32);
  images(most, 2 ** 32)();
  expect(images(most + 1, 2 ** 32)).toThrow(SparrowError);
  expect(images(100_000, 2 ** 32)).toThrow(
    `100000 attacked images take 4.7 GiB, more than the 4.0 GiB of one file: use at most --limit ${most}`,
  );
});
