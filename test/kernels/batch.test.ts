/** Batches from a data set on the device: exact without augmentation, and with it against a reference of the three movements. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Augmentation, batch } from '../../src/kernels/batch.ts';
import { empty, packedBytes, scope, tensor } from '../../src/tensor/tensor.ts';
import { between, checkForward, forAll, seeds, testDevice, toRef } from '../engine.ts';
import { at, type Ref, ref } from '../reference/array.ts';
import { integers, permutation } from '../reference/random.ts';

const device = await testDevice();

interface Set {
  samples: number;
  c: number;
  h: number;
  w: number;
  seed: number;
}
const sets = fc.record({ samples: between(3, 9), c: between(1, 3), h: between(1, 9), w: between(1, 9), seed: seeds });

function contents({ samples, c, h, w, seed }: Set) {
  const bytes = Uint8Array.from(integers(samples * c * h * w, seed, 256));
  return { bytes, labels: integers(samples, seed + 1, 10), order: permutation(samples, seed + 2) };
}

/** A batch of n samples from position `first` of the order on; `words` are four random words a sample. */
async function load(set: Set, first: number, n: number, words: ArrayLike<number>, augment?: Augmentation) {
  const { bytes, labels, order } = contents(set);
  const out = scope(device, () => {
    const source = {
      data: packedBytes(device, bytes).storage,
      labels: tensor(device, labels, [set.samples], 'i32').storage,
      order: tensor(device, order, [set.samples], 'u32').storage,
      first: tensor(device, [first], [1], 'u32').storage,
    };
    const images = empty(device, [n, set.c, set.h, set.w]);
    const chosen = empty(device, [n], 'i32');
    const random = tensor(device, words, [4 * n], 'u32').storage;
    batch(device, source, random, images.storage, chosen.storage, { n, c: set.c, h: set.h, w: set.w }, augment);
    return [images, chosen];
  });
  const [images, chosen] = [await toRef(out[0]), await toRef(out[1])];
  for (const t of out) t.dispose();
  return { images, labels: [...chosen.data] };
}

/** The samples of a batch as they lie in the set, in [0, 1]. */
function plain(set: Set, first: number, n: number): { images: Ref; labels: number[] } {
  const { bytes, labels, order } = contents(set);
  const size = set.c * set.h * set.w;
  const chosen = order.slice(first, first + n);
  const pixels = chosen.flatMap(s => Array.from(bytes.subarray(s * size, (s + 1) * size), b => b / 255));
  return { images: ref([n, set.c, set.h, set.w], pixels), labels: chosen.map(s => labels[s]) };
}

const zeros = (n: number) => new Uint32Array(4 * n);

/** Each sample's pixel (i, j) taken from where `from` says; undefined and outside are 0. */
function moved(x: Ref, from: (n: number, i: number, j: number) => [number, number] | undefined): Ref {
  const [N, C, H, W] = x.shape;
  const y = ref(x.shape);
  let position = 0;
  for (let n = 0; n < N; n++)
    for (let c = 0; c < C; c++)
      for (let i = 0; i < H; i++)
        for (let j = 0; j < W; j++, position++) {
          const [row, column] = from(n, i, j) ?? [-1, -1];
          if (row >= 0 && row < H && column >= 0 && column < W) y.data[position] = at(x, n, c, row, column);
        }
  return y;
}

describe('batch', () => {
  it('without augmentation, and with one that does nothing: the samples themselves', async () => {
    await forAll(sets, async set => {
      const [first, n] = [1, set.samples - 1];
      const wanted = plain(set, first, n);
      const words = Uint32Array.from(integers(4 * n, set.seed, 2 ** 32));
      for (const augment of [undefined, { crop: 0, flip: false, rotate: 0 }]) {
        const got = await load(set, first, n, words, augment);
        checkForward('batch', got.images, wanted.images, 1e-6);
        expect(got.labels).toEqual(wanted.labels);
      }
    });
  });

  it('crop: shifted by up to the padding, 0 outside', async () => {
    await forAll(fc.tuple(sets, between(1, 4)), async ([set, crop]) => {
      const n = set.samples;
      const words = Uint32Array.from(integers(4 * n, set.seed + 9, 2 ** 32));
      const got = await load(set, 0, n, words, { crop, flip: false, rotate: 0 });
      const shift = (word: number) => (word % (2 * crop + 1)) - crop;
      const wanted = moved(plain(set, 0, n).images, (s, i, j) => [i + shift(words[4 * s]), j + shift(words[4 * s + 1])]);
      checkForward('batch', got.images, wanted, 1e-6);
    });
  });

  it('flip: the lowest bit of the third word', async () => {
    await forAll(sets, async set => {
      const n = set.samples;
      const words = Uint32Array.from(integers(4 * n, set.seed + 9, 2 ** 32));
      const got = await load(set, 0, n, words, { crop: 0, flip: true, rotate: 0 });
      const wanted = moved(plain(set, 0, n).images, (s, i, j) => [i, words[4 * s + 2] % 2 === 1 ? set.w - 1 - j : j]);
      checkForward('batch', got.images, wanted, 1e-6);
    });
  });

  it('rotation: the nearest pixel, away from the middle between two', async () => {
    await forAll(fc.tuple(sets, fc.constantFrom(15, 45, 180)), async ([set, rotate]) => {
      const n = set.samples;
      const words = Uint32Array.from(integers(4 * n, set.seed + 9, 2 ** 32));
      const got = (await load(set, 0, n, words, { crop: 0, flip: false, rotate })).images;
      const [cy, cx] = [(set.h - 1) / 2, (set.w - 1) / 2];
      const place = (s: number, i: number, j: number): [number, number] => {
        const angle = ((((words[4 * s + 3] >>> 8) / 2 ** 24) * 2 - 1) * rotate * Math.PI) / 180;
        const [dy, dx] = [i - cy, j - cx];
        return [cy + Math.cos(angle) * dy - Math.sin(angle) * dx, cx + Math.sin(angle) * dy + Math.cos(angle) * dx];
      };
      const wanted = moved(plain(set, 0, n).images, (s, i, j) => {
        const [row, column] = place(s, i, j);
        return [Math.round(row), Math.round(column)];
      });
      // where a place lies within 1e-3 of the middle between two pixels, rounding of cos and sin may decide
      const near = (v: number) => Math.abs(v - Math.floor(v) - 0.5) < 1e-3;
      const clear = moved(ref(got.shape, 1), (s, i, j) => (place(s, i, j).some(near) ? undefined : [i, j]));
      const only = (a: Ref) =>
        ref(
          a.shape,
          a.data.map((v, k) => v * clear.data[k]),
        );
      checkForward('batch', only(got), only(wanted), 1e-6);
    });
  });

  it('all three: the image is cropped, then mirrored, then rotated', async () => {
    const set: Set = { samples: 4, c: 2, h: 8, w: 8, seed: 3 };
    const words = Uint32Array.from(integers(16, 5, 2 ** 32));
    for (let s = 0; s < 4; s++) words[4 * s + 3] = s * 2 ** 30 + 2 ** 30; // -90, 0, 90, 180 of ± 180 degrees, exact on the grid
    words[15] = 2 ** 32 - 256;
    const [crop, n] = [2, 4];
    const shift = (word: number) => (word % (2 * crop + 1)) - crop;
    const cropped = moved(plain(set, 0, n).images, (s, i, j) => [i + shift(words[4 * s]), j + shift(words[4 * s + 1])]);
    const flipped = moved(cropped, (s, i, j) => [i, words[4 * s + 2] % 2 === 1 ? 7 - j : j]);
    const turns = [(i: number, j: number) => [j, 7 - i], (i: number, j: number) => [i, j], (i: number, j: number) => [7 - j, i]];
    turns.push((i, j) => [7 - i, 7 - j]);
    const wanted = moved(flipped, (s, i, j) => turns[s](i, j) as [number, number]);
    const got = await load(set, 0, n, words, { crop, flip: true, rotate: 180 });
    checkForward('batch', got.images, wanted, 1e-6);
  });

  it('words of zero: the smallest crop, no flip, the smallest angle', async () => {
    const set: Set = { samples: 3, c: 1, h: 6, w: 6, seed: 1 };
    const got = await load(set, 0, 3, zeros(3), { crop: 1, flip: true, rotate: 0 });
    checkForward(
      'batch',
      got.images,
      moved(plain(set, 0, 3).images, (_, i, j) => [i - 1, j - 1]),
      1e-6,
    );
  });
});
