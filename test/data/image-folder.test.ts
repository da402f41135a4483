/** Tiny-ImageNet in both layouts, and folders of images: rows, classes, splits, the cache, and every way in which files can be wrong. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encode } from 'fast-png';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openImageFolder } from '../../src/data/image-folder.ts';
import { decodeImages } from '../../src/data/images/decode.ts';
import { decodeFiles } from '../../src/data/images/decode-files.ts';
import { fixedPermutation } from '../../src/data/permutation.ts';
import { openTinyImageNet } from '../../src/data/tiny-imagenet.ts';
import type { Split } from '../../src/data/types.ts';
import { FileError } from '../../src/errors.ts';
import { jpeg, png, put, rgb } from './image-writer.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sparrow-images-'));
  vi.stubEnv('SPARROW_CACHE', join(folder, 'cache'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** The image's colour as written: the green of `rgb` tells its kind. */
const kindsOf = ({ images, count }: Split) => {
  const size = images.length / count;
  return Array.from({ length: count }, (_, n) => images[n * size + size / 3 + 5]);
};
const greenOf = (kind: number) => (kind * 97) % 256;

describe('the fixed permutation', () => {
  it("is numpy's, seed 10", () => {
    expect([...fixedPermutation(20)]).toEqual([7, 10, 5, 6, 3, 18, 13, 2, 14, 8, 17, 16, 19, 12, 11, 1, 0, 15, 4, 9]);
    const all = fixedPermutation(100_000);
    expect([...all.subarray(0, 5)]).toEqual([33226, 64804, 39763, 51270, 9698]);
    expect([...all.subarray(90_000, 90_005)]).toEqual([67974, 50355, 55638, 5340, 12231]);
    expect([...all.subarray(-3)]).toEqual([50496, 94735, 83209]);
  });
});

describe('decoding', () => {
  it('gives planes of PNG exactly, of JPEG nearly; grey is repeated, transparency ignored', async () => {
    const pixels = rgb(16, 1);
    const grey = pixels.filter((_, i) => i % 3 === 0);
    const withAlpha = new Uint8Array(16 * 16 * 4).map((_, i) => (i % 4 === 3 ? 9 : pixels[3 * Math.floor(i / 4) + (i % 4)]));
    const deep = Uint16Array.from(pixels, v => v * 256 + 77);
    const files = [
      put(join(folder, 'a.png'), png(pixels, 16)),
      put(join(folder, 'b.png'), encode({ width: 16, height: 16, data: grey, channels: 1, depth: 8 })),
      put(join(folder, 'c.png'), encode({ width: 16, height: 16, data: withAlpha, channels: 4, depth: 8 })),
      put(join(folder, 'd.png'), encode({ width: 16, height: 16, data: deep, channels: 3, depth: 16 })),
      put(join(folder, 'e.jpg'), await jpeg(pixels, 16)),
    ];
    const { images, size, kept } = await decodeImages(files);
    expect([size, [...kept]]).toEqual([
      [16, 16],
      [0, 1, 2, 3, 4],
    ]);
    const planes = Uint8Array.from({ length: 768 }, (_, i) => pixels[3 * (i % 256) + Math.floor(i / 256)]);
    const found = (n: number) => images.subarray(n * 768, (n + 1) * 768);
    for (const n of [0, 2, 3]) expect(found(n)).toEqual(planes);
    expect(found(1)).toEqual(planes.map((_, i) => planes[i % 256]));
    expect(Math.max(...found(4).map((v, i) => Math.abs(v - planes[i])))).toBeLessThan(12);
  });

  it('keeps the order of many files, and says how far it is', async () => {
    const made = Array.from({ length: 10 }, (_, kind) => png(rgb(8, kind), 8));
    const files = Array.from({ length: 300 }, (_, i) => put(join(folder, `${i}.png`), made[(7 * i) % 10]));
    const done: number[] = [];
    const { images } = await decodeImages(files, { size: [8, 8], onProgress: n => done.push(n) });
    expect(kindsOf({ images, count: 300, labels: new Int32Array() })).toEqual(files.map((_, i) => greenOf((7 * i) % 10)));
    expect(done.at(-1)).toBe(300);
  });

  it('says so where the images of a set do not fit into memory', async () => {
    await expect(decodeImages(Array(2 ** 20).fill('a.png'), { size: [2 ** 15, 2 ** 15] })).rejects.toThrow(
      new FileError(
        'a.png: its set does not fit into memory: 1048576 images of 3x32768x32768 bytes take 3145728.0 GiB; ' +
          'make them smaller, or leave some out',
      ),
    );
  });

  it('takes a good JPEG after any number of bad ones', async () => {
    const good = await jpeg(rgb(8, 3), 8);
    const bad = put(join(folder, 'bad.jpg'), good.subarray(0, 100)); // ends inside a table, where the decoder gives up
    const files = [...Array(150).fill(bad), put(join(folder, 'good.jpg'), good)];
    const { problems } = await decodeFiles({ first: 0, files });
    expect(problems).toEqual(
      Array.from(problems, (_, index) => ({ index, kind: 'corrupt', reason: 'Premature end of JPEG file' })),
    );
    expect(problems).toHaveLength(150);
  });

  it('takes a JPEG of which only something harmless is said, where it is whole', async () => {
    const good = await jpeg(rgb(64, 3), 64);
    const version2 = good.map((byte, i) => (i === 11 ? 2 : byte)); // of JFIF, whose segment is the first
    const stray = Uint8Array.of(...good.subarray(0, 20), 1, 2, 3, ...good.subarray(20));
    const write = (bytes: Uint8Array, i: number) => put(join(folder, `${i}.jpg`), bytes);
    expect((await decodeFiles({ first: 0, files: [version2, stray].map(write) })).problems).toEqual([]);
    const cut = [version2, stray].map(bytes => bytes.subarray(0, -6)); // inside the last scan
    const { problems } = await decodeFiles({ first: 0, files: cut.map(write) });
    expect(problems.map(({ reason }) => reason)).toEqual(Array(2).fill('Premature end of JPEG file'));
  });
});

/** 64x64 images `kind` of two classes in the archive's layout; the test images' lines are in an order of their own. */
async function writeArchiveLayout(own: string): Promise<void> {
  for (const [k, wnid] of ['n01', 'n02'].entries()) {
    for (let i = 0; i < 10; i++)
      put(join(own, 'train', wnid, 'images', `${wnid}_${i}.JPEG`), await jpeg(rgb(64, 10 * k + i), 64));
    put(join(own, 'train', wnid, `${wnid}_boxes.txt`), 'not read');
  }
  for (const i of [0, 1, 2]) put(join(own, 'val', 'images', `val_${i}.JPEG`), await jpeg(rgb(64, 20 + i), 64));
  put(join(own, 'val', 'val_annotations.txt'), 'val_2.JPEG\tn02\t0\t0\t9\t9\nval_0.JPEG\tn02\t1\nval_1.JPEG\tn01\t1\n');
  put(join(own, 'words.txt'), 'n00\tentity\nn01\tgoldfish, Carassius auratus\n');
}

describe('Tiny-ImageNet-200', () => {
  it("is the same from the archive's layout and from training/validation folders", async () => {
    await writeArchiveLayout(join(folder, 'a', 'tiny-imagenet-200'));
    for (const [k, wnid] of ['n01', 'n02'].entries()) {
      for (let i = 0; i < 10; i++)
        put(join(folder, 'b', 'training', wnid, `${wnid}_${i}.JPEG`), await jpeg(rgb(64, 10 * k + i), 64));
      for (const i of k === 0 ? [1] : [0, 2])
        put(join(folder, 'b', 'validation', wnid, `val_${i}.JPEG`), await jpeg(rgb(64, 20 + i), 64));
    }
    const [a, b] = [await openTinyImageNet(join(folder, 'a')), await openTinyImageNet(join(folder, 'b'))];
    expect([a.train, a.val, a.test]).toEqual([b.train, b.val, b.test]);
    expect([a.classes, b.classes]).toEqual([
      ['goldfish', 'n02'],
      ['n01', 'n02'],
    ]);
    expect([a.shape, a.train.count, a.val.count, a.test.count]).toEqual([[3, 64, 64], 18, 2, 3]);
    const order = [...fixedPermutation(20)];
    expect([...a.train.labels, ...a.val.labels]).toEqual(order.map(i => Math.floor(i / 10)));
    const greens = [...kindsOf(a.train), ...kindsOf(a.val)];
    expect(Math.max(...greens.map((g, i) => Math.abs(g - greenOf(order[i]))))).toBeLessThan(8);
    const test = [1, 0, 2].map(i => 20 + i);
    expect([...a.test.labels]).toEqual([...fixedPermutation(3)].map(i => [0, 1, 1][i]));
    for (const [n, i] of fixedPermutation(3).entries()) expect(Math.abs(kindsOf(a.test)[n] - greenOf(test[i]))).toBeLessThan(8);
  });

  it('names what is missing or wrong', async () => {
    const opening = () => openTinyImageNet(folder);
    await expect(opening()).rejects.toThrow(
      /no folder train, val there; expected Tiny-ImageNet-200; `sparrow data fetch tinyimagenet`/,
    );
    await writeArchiveLayout(folder);
    const lines = join(folder, 'val', 'val_annotations.txt');
    writeFileSync(lines, 'val_0.JPEG\tn02\nval_1.JPEG\tn07\n');
    await expect(opening()).rejects.toThrow(/val_annotations\.txt: line 2: there is no class 'n07' among the training images/);
    writeFileSync(lines, 'val_9.JPEG\tn02\n');
    await expect(opening()).rejects.toThrow(/line 1: .*val_9\.JPEG is missing/);
    writeFileSync(lines, 'val_0.JPEG\tn02\nval_1.JPEG n01\n');
    await expect(opening()).rejects.toThrow(`${lines}: line 2 has no tab between a file and its class`);
    rmSync(lines);
    await expect(opening()).rejects.toThrow(`${lines} is missing; \`sparrow data fetch tinyimagenet\` downloads it`);
    writeFileSync(lines, 'val_0.JPEG\tn02\n');
    put(join(folder, 'train', 'n01', 'images', 'n01_3.JPEG'), await jpeg(rgb(32, 1), 32));
    await expect(opening()).rejects.toThrow(
      /n01_3\.JPEG has 32x32 pixels \(height x width\), but 64x64 is wanted: all images must have one/,
    );
  });
});

/** PNG files by class in `train` and `test`. */
function writeFolder(own: string, { size = 8, train = 10, test = 2, names = ['cat', 'dog'] } = {}): void {
  for (const [split, count] of [
    ['train', train],
    ['test', test],
  ] as const)
    for (const [k, name] of names.entries())
      for (let i = 0; i < count; i++) put(join(own, split, name, `${i}.png`), png(rgb(size, 10 * k + i), size));
}

describe('a folder of images', () => {
  it('gives classes by name, splits by the fixed permutation, its own channel statistics', async () => {
    writeFolder(folder);
    put(join(folder, 'train', 'cat', 'notes.txt'), 'not an image');
    const set = await openImageFolder(folder);
    expect([set.classes, set.shape, set.train.count, set.val.count, set.test.count]).toEqual([
      ['cat', 'dog'],
      [3, 8, 8],
      18,
      2,
      4,
    ]);
    const order = [...fixedPermutation(20)];
    expect([...kindsOf(set.train), ...kindsOf(set.val)]).toEqual(order.map(i => greenOf(10 * Math.floor(i / 10) + (i % 10))));
    const green = kindsOf(set.train);
    const mean = green.reduce((a, b) => a + b, 0) / 18 / 255;
    expect(set.mean[1]).toBeCloseTo(mean, 12);
    expect(set.std[1]).toBeCloseTo(Math.sqrt(green.reduce((a, g) => a + (g / 255 - mean) ** 2, 0) / 18), 12);
  });

  it('takes val for validation beside test, and for the test set without it', async () => {
    writeFolder(folder);
    for (const name of ['cat', 'dog']) put(join(folder, 'val', name, '0.png'), png(rgb(8, 5), 8));
    const counts = async () => {
      const { train, val, test } = await openImageFolder(folder);
      return [train.count, val.count, test.count];
    };
    expect(await counts()).toEqual([20, 2, 4]);
    rmSync(join(folder, 'test'), { recursive: true });
    expect(await counts()).toEqual([18, 2, 2]);
  });

  it('is decoded once: kept until a file changes, made again where the kept file is damaged', async () => {
    writeFolder(folder);
    const steps: string[] = [];
    const open = () => openImageFolder(folder, { onProgress: ({ label }) => steps.push(label) });
    const first = await open();
    expect(new Set(steps)).toEqual(new Set(['decoding train', 'decoding test']));
    steps.length = 0;
    expect(await open()).toEqual(first);
    expect(steps).toEqual([]);
    const kept = join(folder, 'cache', 'images');
    for (const name of readdirSync(kept)) truncateSync(join(kept, name), statSync(join(kept, name)).size - 1);
    expect(await open()).toEqual(first);
    expect(steps).not.toEqual([]);
    steps.length = 0;
    const file = join(folder, 'test', 'cat', '0.png');
    put(file, png(rgb(8, 77), 8));
    utimesSync(file, 1, 1);
    expect(kindsOf((await open()).test)).toContain(greenOf(77));
    expect(new Set(steps)).toEqual(new Set(['decoding test']));
  });

  it('is told from another of the same relative name', async () => {
    const [a, b] = ['a', 'b'].map(name => join(folder, name));
    for (const [i, own] of [a, b].entries()) writeFolder(join(own, 'data'), { size: 8 + i });
    const files = [a, b].flatMap(own => readdirSync(own, { recursive: true, encoding: 'utf8' }).map(name => join(own, name)));
    for (const file of files.filter(name => name.endsWith('.png'))) {
      truncateSync(file, 300); // what follows a PNG's end is not read
      utimesSync(file, 1, 1);
    }
    const before = process.cwd();
    try {
      process.chdir(a);
      expect((await openImageFolder('data')).shape).toEqual([3, 8, 8]);
      process.chdir(b);
      expect((await openImageFolder('data')).shape).toEqual([3, 9, 9]);
    } finally {
      process.chdir(before);
    }
  });

  it('says so and goes on where nothing can be kept', async () => {
    writeFolder(folder);
    writeFileSync(join(folder, 'cache'), 'in the way');
    const notices: string[] = [];
    expect((await openImageFolder(folder, { onNotice: line => notices.push(line) })).train.count).toBe(18);
    expect(notices[0]).toMatch(/^decoded images are not kept for the next run: cannot write to folder .*cache.images: /);
  });

  it('names images of another size, with both sizes', async () => {
    writeFolder(folder);
    const odd = put(join(folder, 'train', 'dog', '3.png'), png(rgb(8, 1, 12), 8, 12));
    await expect(openImageFolder(folder)).rejects.toThrow(
      `${odd} has 8x12 pixels (height x width), but ${join(folder, 'train', 'cat', '0.png')} has 8x8: all images must have one size`,
    );
    rmSync(odd);
    put(join(folder, 'test', 'dog', '0.png'), png(rgb(16, 1), 16));
    await expect(openImageFolder(folder)).rejects.toThrow(/test.dog.0\.png has 16x16 pixels .* but 8x8 is wanted/);
  });

  it('names a corrupt file and why; --skip-corrupt leaves such files out and counts', async () => {
    const good = await jpeg(rgb(8, 3), 8);
    const cases: [Uint8Array | string, RegExp][] = [
      [good.subarray(0, good.length / 2), /Premature end of JPEG file/],
      [good.map((byte, i) => (i > 30 && i < 90 ? 0xff - byte : byte)), /: ./],
      ['', /empty file/],
      ['<html>', /neither JPEG nor PNG/],
      [png(rgb(8, 3), 8).map((byte, i) => (i === 60 ? byte ^ 1 : byte)), /: ./],
      [png(rgb(64, 3), 64).subarray(0, 100), /: .*[^:]; replace it/],
    ];
    writeFolder(folder);
    for (const [i, [bytes, reason]] of cases.entries()) {
      const bad = put(join(folder, 'train', 'cat', `9${i}.jpg`), bytes);
      const decoding = decodeImages([join(folder, 'train', 'cat', '0.png'), bad], { size: [8, 8] });
      await expect(decoding).rejects.toThrow(FileError);
      await expect(decoding).rejects.toThrow(reason);
      await expect(decoding).rejects.toThrow(`${bad} cannot be decoded: `);
      await expect(decoding).rejects.toThrow('; replace it, or leave such files out with --skip-corrupt');
    }
    const notices: string[] = [];
    for (const _ of ['decoded', 'from the cache']) {
      const set = await openImageFolder(folder, { skipCorrupt: true, onNotice: line => notices.push(line) });
      expect([set.train.count, set.val.count]).toEqual([18, 2]);
      expect(set.train.labels.filter(k => k === 0).length + set.val.labels.filter(k => k === 0).length).toBe(10);
    }
    expect(notices).toEqual(Array(2).fill('train: 6 of 26 images are corrupt and left out (--skip-corrupt)'));
  });

  it('ends at a file that cannot be read, also with --skip-corrupt, and keeps nothing', async () => {
    writeFolder(folder, { train: 80 });
    const opening = (skipCorrupt: boolean) => openImageFolder(folder, { skipCorrupt });
    const bad = join(folder, 'train', 'dog', '79.png'); // not in the first thread's share
    rmSync(bad);
    mkdirSync(bad);
    for (const skipCorrupt of [false, true])
      await expect(opening(skipCorrupt)).rejects.toThrow(new FileError(`cannot read ${bad}: it is a folder, not a file`));
    const first = join(folder, 'train', 'cat', '0.png'); // by which the size is told
    rmSync(first);
    mkdirSync(first);
    for (const skipCorrupt of [false, true])
      await expect(opening(skipCorrupt)).rejects.toThrow(new FileError(`cannot read ${first}: it is a folder, not a file`));
    expect(existsSync(join(folder, 'cache'))).toBe(false);
    for (const file of [first, bad]) {
      rmSync(file, { recursive: true });
      put(file, png(rgb(8, 3), 8));
    }
    expect((await opening(true)).train.count).toBe(144);
  });

  it('names a symbolic link that leads nowhere', async () => {
    writeFolder(folder);
    const link = join(folder, 'train', 'cat', 'x.png');
    symlinkSync('nowhere.png', link);
    for (const skipCorrupt of [false, true]) {
      const opening = openImageFolder(folder, { skipCorrupt });
      await expect(opening).rejects.toThrow(FileError);
      await expect(opening).rejects.toThrow(`cannot read ${link}: it is a symbolic link to nowhere.png, which does not exist`);
    }
    rmSync(link);
    symlinkSync('nowhere', join(folder, 'train', 'cat', 'notes'));
    expect((await openImageFolder(folder)).train.count).toBe(18);
  });

  it('follows links to folders, other than to one that they lie in', async () => {
    writeFolder(folder);
    for (let i = 0; i < 5; i++) put(join(folder, 'elsewhere', 'deep', `${i}.png`), png(rgb(8, 50 + i), 8));
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'train', 'cat', 'more'));
    symlinkSync(join(folder, 'train', 'cat'), join(folder, 'elsewhere', 'deep', 'back'));
    symlinkSync('.', join(folder, 'elsewhere', 'deep', 'same'));
    for (const [name, target] of Object.entries({ up: '..', top: '../..', there: join(folder, 'train') }))
      for (const own of ['train/cat', 'elsewhere/deep']) symlinkSync(target, join(folder, own, name));
    const { train, val } = await openImageFolder(folder);
    expect([...train.labels, ...val.labels].filter(k => k === 0)).toHaveLength(15);
    expect([...kindsOf(train), ...kindsOf(val)]).toEqual(expect.arrayContaining([50, 51, 52, 53, 54].map(greenOf)));
  });

  it('passes over what is hidden, in a class and beside the classes', async () => {
    writeFolder(folder);
    const before = await openImageFolder(folder);
    const hidden = [
      'cat/._0.png',
      'cat/.thumbnails/0.png',
      'cat/._0.webp',
      '.cache/0.png',
      '__MACOSX/._0.png',
      '__MACOSX/cat/0.png',
    ];
    for (const name of hidden) put(join(folder, 'train', name), 'x');
    const notices: string[] = [];
    expect(await openImageFolder(folder, { onNotice: line => notices.push(line) })).toEqual(before);
    expect(notices).toEqual([]);
  });

  it('takes no link to a file for a class, and names a class that is a link to nothing', async () => {
    writeFolder(folder);
    put(join(folder, 'notes.txt'), 'x');
    symlinkSync('../notes.txt', join(folder, 'train', 'notes.txt'));
    expect((await openImageFolder(folder)).classes).toEqual(['cat', 'dog']);
    symlinkSync('nowhere', join(folder, 'train', 'eel'));
    await expect(openImageFolder(folder)).rejects.toThrow(`cannot read ${join(folder, 'train', 'eel')}: it does not exist`);
  });

  it('counts image files of formats that are not read, once', async () => {
    writeFolder(folder);
    for (const name of ['a.webp', 'deep/b.WEBP', 'c.gif', 'd.txt']) put(join(folder, 'train', 'cat', name), 'x');
    const notices: string[] = [];
    await openImageFolder(folder, { onNotice: line => notices.push(line) });
    expect(notices).toEqual(['train: 3 image files are left out, since only JPEG and PNG are read (gif, webp)']);
  });

  it('names a missing folder, a class without images, a class of its own in test, and needs two classes', async () => {
    await expect(openImageFolder(folder)).rejects.toThrow(
      `data folder ${folder}: no folder train there; expected train/CLASS/IMAGES`,
    );
    writeFolder(folder, { names: ['cat'] });
    const classless = (count: string) => `${join(folder, 'train')} holds ${count} class folder: a data set needs at least 2`;
    await expect(openImageFolder(folder)).rejects.toThrow(classless('only one'));
    rmSync(join(folder, 'train', 'cat'), { recursive: true });
    await expect(openImageFolder(folder)).rejects.toThrow(classless('no'));
    writeFolder(folder);
    put(join(folder, 'train', 'eel', 'notes.txt'), 'x');
    await expect(openImageFolder(folder)).rejects.toThrow(`${join(folder, 'train', 'eel')}: holds no JPEG or PNG file`);
    rmSync(join(folder, 'train', 'eel'), { recursive: true });
    put(join(folder, 'test', 'emu', '0.png'), png(rgb(8, 0), 8));
    await expect(openImageFolder(folder)).rejects.toThrow(
      `${join(folder, 'test', 'emu')}: there is no such class among those of the training`,
    );
    rmSync(join(folder, 'test'), { recursive: true });
    await expect(openImageFolder(folder)).rejects.toThrow(`data folder ${folder}: no folder test (or val) there`);
  });
});
