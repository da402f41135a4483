/**
 * The embedded data set `shapes`: 32x32 colour images of ten classes, rendered from a seed, in which accuracy and robustness pull
 * apart by construction. Each class has a robust feature (a large bright shape) and a fragile one (a pattern of ±AMPLITUDE/255, far
 * below an attack of 8/255); the shape is too faint to see in some images, the pattern is always there. It is the model of
 * Tsipras et al., "Robustness May Be at Odds with Accuracy" (ICLR 2019), section 2.1, as pictures. docs/shapes.md gives the formulas.
 *
 * Only +, -, *, / and sqrt are used on numbers that reach a pixel, all exactly rounded in IEEE 754, so that a seed gives the same
 * bytes in every JavaScript engine.
 */
import { Random, Stream } from '../tensor/philox.ts';
import { imageStatistics } from './statistics.ts';
import type { DataSet, Split } from './types.ts';

const SIZE = 32;
const PIXELS = SIZE * SIZE;

/** Amplitude of the fragile pattern, in 1/255. */
const AMPLITUDE = 3;
/** Share of images whose shape is faint: at most 1.2 * 8/255 brighter than its ground. */
const FAINT = 0.15;
/** Half-width of the uniform pixel noise, in 1/255. */
const NOISE = 6;

/** Signed distance to a shape's edge, negative inside, in units of the shape's radius, at local coordinates (u, v), v downwards. */
type Distance = (u: number, v: number) => number;

const box = (u: number, v: number) => Math.max(Math.abs(u), Math.abs(v));
/** Triangle wave of period 0.8 and slope 1, negative on the half of the period around 0. */
const wave = (t: number) => Math.abs(t - 0.8 * Math.round(t / 0.8)) - 0.2;
const plus: Distance = (u, v) => Math.max(Math.min(Math.abs(u), Math.abs(v)) - 0.28, box(u, v) - 1);
const HALF_ROOT = Math.sqrt(0.5);

const SHAPES: [name: string, Distance][] = [
  ['disc', (u, v) => Math.sqrt(u * u + v * v) - 0.9],
  ['ring', (u, v) => Math.abs(Math.sqrt(u * u + v * v) - 0.75) - 0.22],
  ['square', (u, v) => box(u, v) - 0.85],
  ['triangle', (u, v) => Math.max(Math.sqrt(0.75) * Math.abs(u) - 0.5 * v, v) - 0.55],
  ['plus', plus],
  ['saltire', (u, v) => plus(HALF_ROOT * (u + v), HALF_ROOT * (u - v))],
  ['horizontal bars', (u, v) => Math.max(wave(v), box(u, v) - 1)],
  ['vertical bars', (u, v) => Math.max(wave(u), box(u, v) - 1)],
  ['diagonal bars', (u, v) => Math.max(wave(HALF_ROOT * (u + v)), box(u, v) - 1)],
  ['checker', (u, v) => Math.max(5 * wave(u) * wave(v), box(u, v) - 0.94)],
];

/**
 * The fragile patterns: ten two-dimensional Walsh functions of period 4, orthogonal to each other and of mean zero. Row and column
 * factors: bit 0 of the code takes the sign (-1)^x, bit 1 the sign (-1)^floor(x/2).
 */
const WALSH: [column: number, row: number][] = [
  [1, 0],
  [0, 1],
  [1, 1],
  [3, 0],
  [0, 3],
  [3, 3],
  [1, 3],
  [3, 1],
  [2, 1],
  [1, 2],
];

const walsh = (code: number, x: number) => (((code & x) ^ ((code & x) >> 1)) & 1 ? -1 : 1);

const PATTERNS: Int8Array[] = WALSH.map(([column, row]) =>
  Int8Array.from({ length: PIXELS }, (_, i) => AMPLITUDE * walsh(column, i % SIZE) * walsh(row, Math.floor(i / SIZE))),
);

/** Renders an image of class `label` into `out` (planes red, green, blue of 32 * 32 bytes) from the next two draws of `random`. */
function render(out: Uint8Array, label: number, random: Random): void {
  const p = random.uniform(14);
  const noise = random.words(PIXELS);
  const distance = SHAPES[label][1];
  const pattern = PATTERNS[label];
  const radius = 10 + 4 * p[0];
  const centreX = 15.5 + (2 * p[1] - 1) * (15 - radius);
  const centreY = 15.5 + (2 * p[2] - 1) * (15 - radius);
  // The tangent of half the angle gives its cosine and sine without trigonometric functions.
  const tangent = 0.1 * (2 * p[3] - 1);
  const cos = (1 - tangent * tangent) / (1 + tangent * tangent);
  const sin = (2 * tangent) / (1 + tangent * tangent);
  const strength = p[4] < FAINT ? 8 * p[5] : 50 + 75 * p[5];
  const rampX = 0.6 * (2 * p[6] - 1);
  const rampY = 0.6 * (2 * p[7] - 1);
  const ground = [40 + 35 * p[8], 40 + 35 * p[9], 40 + 35 * p[10]];
  const contrast = [strength * (0.8 + 0.4 * p[11]), strength * (0.8 + 0.4 * p[12]), strength * (0.8 + 0.4 * p[13])];
  for (let y = 0, i = 0; y < SIZE; y++) {
    for (let x = 0; x < SIZE; x++, i++) {
      const dx = (x - centreX) / radius;
      const dy = (y - centreY) / radius;
      const coverage = Math.min(1, Math.max(0, 0.5 - radius * distance(cos * dx + sin * dy, cos * dy - sin * dx)));
      const ramp = rampX * (x - 15.5) + rampY * (y - 15.5);
      for (let c = 0; c < 3; c++) {
        const grain = NOISE * (((noise[i] >>> (8 * c)) & 255) / 127.5 - 1);
        // Between 12 and 253 by the ranges above, so nothing is clipped and the pattern is whole everywhere.
        out[c * PIXELS + i] = Math.round(ground[c] + ramp + contrast[c] * coverage + grain + pattern[i]);
      }
    }
  }
}

/** The first `count` images of part 0, 1 or 2 of the set: classes in turn, each image from draws of its own. */
function split(seed: number, part: number, count: number): Split {
  const images = new Uint8Array(count * 3 * PIXELS);
  const labels = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    labels[i] = i % SHAPES.length;
    const random = new Random(seed, Stream.data, part * 2 ** 32 + 2 * i);
    render(images.subarray(i * 3 * PIXELS, (i + 1) * 3 * PIXELS), labels[i], random);
  }
  return { images, labels, count };
}

/**
 * Renders the set. Image i of a split depends only on (seed, split, i): a larger count keeps the images of a smaller one.
 * @param options counts of the three splits (4000, 500, 500) and the seed (0), a non-negative integer below 2^53
 */
export function shapes(options: { seed?: number; train?: number; val?: number; test?: number } = {}): DataSet {
  const { seed = 0, train = 4000, val = 500, test = 500 } = options;
  return {
    name: 'shapes',
    classes: SHAPES.map(([name]) => name),
    ...imageStatistics.shapes,
    augment: { crop: 0, flip: false, rotate: 0 },
    train: split(seed, 0, train),
    val: split(seed, 1, val),
    test: split(seed, 2, test),
  };
}
