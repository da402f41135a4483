/** A split that is larger than what the adapter takes. */
import { expect, it } from 'vitest';
import { DeviceSplit } from '../../src/data/device-split.ts';
import { OutOfMemoryError } from '../../src/device/index.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();

it('says how many images the adapter takes, by the flag that limits them', () => {
  const shape = [1, 256, 256];
  const limit = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
  const fit = Math.floor(limit / 2 ** 16);
  const count = fit + 1;
  const split = { images: new Uint8Array(count * 2 ** 16), labels: new Int32Array(count), count };
  const upload = () => new DeviceSplit(device, split, shape, 0);
  expect(upload).toThrow(OutOfMemoryError);
  expect(upload).toThrow(
    `the ${count} images of a split take ${(count / 16).toFixed(1)} MiB, ` +
      `and this adapter has ${(limit / 2 ** 20).toFixed(1)} MiB for one buffer: ` +
      `use --limit ${fit} (for validation and test of a training run, --eval-limit ${fit})`,
  );
});
