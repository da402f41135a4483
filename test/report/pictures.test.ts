import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { renderReport } from '../../src/report/page.ts';
import { pngUri } from '../../src/report/png.ts';
import { maskPixels } from '../../src/report/sections/masks.ts';
import { attribute, parsePage } from './html.ts';
import { madeRun } from './runs.ts';

const decodeUri = (uri: string) => decode(Buffer.from(uri.slice(uri.indexOf(',') + 1), 'base64'));
const none = [240, 243, 247];
const all = [6, 36, 84];

describe('pictures', () => {
  it('an image survives its data URI', () => {
    const rgb = Uint8Array.from({ length: 5 * 3 * 3 }, (_, i) => (i * 37) % 256);
    const { width, height, channels, data } = decodeUri(pngUri(5, 3, rgb));
    expect([width, height, channels, [...data]]).toEqual([5, 3, 3, [...rgb]]);
  });

  it('a linear mask has a pixel a weight, its rows the outputs', () => {
    const { width, height, rgb } = maskPixels({ name: 'fc', shape: [2, 3], keep: [1, 0, 1, 0, 0, 1] });
    expect([width, height]).toEqual([3, 2]);
    expect([...rgb]).toEqual([all, none, all, none, none, all].flat());
  });

  it('a kernel is the darker the more of its weights are kept', () => {
    const keep = Array.from({ length: 10 }, (_, kept) => Array.from({ length: 9 }, (_, i) => (i < kept ? 1 : 0))).flat();
    const { rgb } = maskPixels({ name: 'conv', shape: [1, 10, 3, 3], keep });
    const brightness = Array.from({ length: 10 }, (_, i) => rgb[i * 3] + rgb[i * 3 + 1] + rgb[i * 3 + 2]);
    expect(brightness).toEqual(brightness.toSorted((a, b) => b - a));
    expect(new Set(brightness).size).toBe(10);
  });

  it('a large layer is averaged over blocks, the last of them smaller', () => {
    const [rows, columns] = [257, 2];
    const keep = Array.from({ length: rows * columns }, (_, i) => (Math.floor(i / columns) >= 255 && i % 2 === 1 ? 1 : 0));
    const { width, height, rgb } = maskPixels({ name: 'fc', shape: [rows, columns], keep });
    expect([width, height]).toEqual([2, 86]);
    expect([...rgb.subarray(-6)]).toEqual([...none, ...all]);
    expect([...rgb.subarray(0, 6)]).toEqual([...none, ...none]);
  });

  it('samples show the clean image, the adversarial one and their difference on mid-grey', () => {
    const run = madeRun({ label: 'a', seed: 1, epochs: 1, sa: 1, ra: 0, density: 1 });
    const clean = [0, 51, 102, 153, 204, 255].map(value => value / 255);
    const adv = [24, 51, 78, 153, 204, 228].map(value => value / 255);
    const samples = { ...run.samples, shape: [1, 3, 1, 2], clean, adv };
    const uris = parsePage(renderReport([{ ...run, samples }]))
      .elements.filter(({ tagName }) => tagName === 'img')
      .map(element => attribute(element, 'src')!);
    const pixels = uris.map(uri => [...decodeUri(uri).data]);
    expect(pixels[0]).toEqual([0, 102, 204, 51, 153, 255]);
    expect(pixels[1]).toEqual([24, 78, 204, 51, 153, 228]);
    const scale = 4;
    const difference = [24, -24, 0, 0, 0, -27].map(change => 127.5 + change * scale);
    for (const [i, value] of difference.entries()) expect(Math.abs(pixels[2][i] - value)).toBeLessThanOrEqual(0.51);
  });
});
