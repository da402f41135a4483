/**
 * The Square attack (Andriushchenko et al., "Square attack: a query-efficient black-box adversarial attack via random search", ECCV 2020):
 * random changes in square windows, kept where they lower the margin. It asks for logits only. Every sample has its own windows.
 */
import * as F from '../autograd/index.ts';
import { add, div, elementwise, mul } from '../tensor/elementwise.ts';
import { oneHot } from '../tensor/index.ts';
import { matmul } from '../tensor/linalg.ts';
import type { Random } from '../tensor/philox.ts';
import { max, sum } from '../tensor/reduce.ts';
import { expand } from '../tensor/shape.ts';
import { full, scope, type Tensor, tensor } from '../tensor/tensor.ts';
import {
  advance,
  choose,
  column,
  normalised,
  type Outcome,
  type Pace,
  predict,
  project,
  randomSigns,
  sampleNorms,
} from './batch.ts';
import type { AttackSettings, Forward, Perturbed } from './pgd.ts';

export interface SquareSettings extends Pick<AttackSettings, 'norm' | 'eps'> {
  readonly queries: number;
}

/** The share of the pixels that the first windows cover. */
const FIRST_SHARE = 0.8;
/** The queries after which the share halves, however many there are in all: AutoAttack does not rescale these to its budget. */
const HALVINGS = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];

/** Queries between looks at whether every sample is fooled. */
const LOOK_EVERY = 100;

/** The share of the pixels that the window of a query (from 0) covers. */
export function windowShare(query: number): number {
  return FIRST_SHARE / 2 ** HALVINGS.filter(end => query > end).length;
}

/** The side of that window on images [H, W], smaller than both; in L2 it is odd and at least 3. */
export function windowSide(share: number, height: number, width: number, norm: AttackSettings['norm']): number {
  const side = Math.max(Math.round(Math.sqrt(share * height * width)), norm === 'l2' ? 3 : 1);
  const odd = norm === 'l2' && side % 2 === 0 ? side + 1 : side;
  return Math.min(odd, height, width);
}

/**
 * The L2 bump of a window, [side, side] row-major with norm 1: two heaps of opposite sign above each other, each a sum of nested
 * rectangles, the k-th of height 1/k².
 */
export function bump(side: number): Float32Array {
  const out = new Float32Array(side * side);
  const half = Math.trunc(side / 2);
  out.set(heap(half, side));
  out.set(
    heap(side - half, side).map(v => -v),
    half * side,
  );
  const norm = lengthOf(out);
  return out.map(v => v / norm);
}

function heap(rows: number, columns: number): Float64Array {
  const out = new Float64Array(rows * columns);
  const [middleRow, middleColumn] = [Math.trunc(rows / 2), Math.trunc(columns / 2)];
  const rectangles = Math.max(middleRow, middleColumn) + 1;
  for (let k = 0; k < rectangles; k++) {
    for (let r = Math.max(middleRow - k, 0); r < Math.min(middleRow + k + 1, rows); r++) {
      for (let c = Math.max(middleColumn - k, 0); c < Math.min(middleColumn + k + 1, columns); c++) {
        out[r * columns + c] += 1 / (k + 1) ** 2;
      }
    }
  }
  const norm = lengthOf(out);
  return out.map(v => v / norm);
}

/** The Euclidean norm; a window of a large image has too many values to be arguments of `Math.hypot`. */
function lengthOf(values: Iterable<number>): number {
  let sum = 0;
  for (const v of values) sum += v * v;
  return Math.sqrt(sum);
}

/** A window in every sample: one-hot rows [N, side, H] and columns [N, side, W] of its pixels. */
interface Windows {
  rows: Tensor;
  columns: Tensor;
}

function randomWindows(x: Tensor, side: number, random: Random): Windows {
  const [n, , height, width] = x.shape;
  const place = (size: number) => {
    const corners = random.uniform(n);
    const at = Int32Array.from({ length: n * side }, (_, i) => {
      const corner = Math.floor(corners[Math.floor(i / side)] * (size - side + 1));
      return corner + (i % side);
    });
    return oneHot(tensor(x.device, at, [n * side], 'i32'), size).reshape([n, side, size]);
  };
  return { rows: place(height), columns: place(width) };
}

/** A pattern [N, side, side] put into every sample's window, zero elsewhere: [N, 1, H, W]. */
function placed(pattern: Tensor, { rows, columns }: Windows): Tensor {
  const [n, , height] = rows.shape;
  return matmul(matmul(rows, pattern, { transposeA: true }), columns).reshape([n, 1, height, columns.shape[2]]);
}

/** 1 inside of every sample's window, 0 elsewhere: [N, 1, H, W]. */
function windowMask({ rows, columns }: Windows): Tensor {
  const n = rows.shape[0];
  return mul(max(rows, { axes: [1] }).reshape([n, 1, -1, 1]), max(columns, { axes: [1] }).reshape([n, 1, 1, -1]));
}

/** Linf: vertical stripes of ±eps, a sign for each channel. */
function stripes(x: Tensor, settings: SquareSettings, random: Random): Perturbed {
  const [n, channels, , width] = x.shape;
  const signs = mul(randomSigns(x.device, [n, channels, 1, width], random), settings.eps);
  return project(x, expand(signs, x.shape), settings);
}

/** Linf: in a window of every sample, ±eps, a sign for each channel. */
function repaint(x: Tensor, d: Tensor, share: number, settings: SquareSettings, random: Random): Perturbed {
  const [n, channels, height, width] = x.shape;
  const inside = windowMask(randomWindows(x, windowSide(share, height, width, 'linf'), random));
  const signs = mul(randomSigns(x.device, [n, channels, 1, 1], random), settings.eps);
  return project(x, elementwise('where', [inside, signs, d]), settings);
}

/** Bumps [N, side, side], each upright or on its side. */
function bumps(x: Tensor, side: number, random: Random): Tensor {
  const n = x.shape[0];
  const upright = bump(side);
  const turned = upright.map((_, i) => upright[(i % side) * side + Math.floor(i / side)]);
  const coins = random.uniform(n);
  const values = Float32Array.from({ length: n * side * side }, (_, i) => {
    const pattern = coins[Math.floor(i / (side * side))] < 0.5 ? upright : turned;
    return pattern[i % (side * side)];
  });
  return tensor(x.device, values, [n, side, side]);
}

const square = (x: Tensor) => elementwise('square', [x]);

/** The sum of squares of every channel, [N, C, 1, 1]. */
const channelEnergy = (x: Tensor) => sum(square(x), { axes: [2, 3], keepDims: true });

/** Every channel of every sample scaled to norm 1; one of zeros stays. */
const unitChannels = (x: Tensor) => div(x, add(elementwise('sqrt', [channelEnergy(x)]), 1e-12));

/** L2: bumps side by side all over the image, a sign for each of them and each channel, together of norm eps. */
function tiles(x: Tensor, settings: SquareSettings, random: Random): Perturbed {
  const { device, shape } = x;
  const [n, channels, height, width] = shape;
  const side = Math.max(Math.trunc(Math.min(height, width) / 5), 1);
  const [down, across] = [Math.trunc(height / side), Math.trunc(width / side)];
  const [top, left] = [Math.trunc((height - side * down) / 2), Math.trunc((width - side * across) / 2)];
  const upright = bump(side);
  const pattern = new Float32Array(height * width);
  for (let r = 0; r < side * down; r++) {
    for (let c = 0; c < side * across; c++) {
      pattern[(top + r) * width + left + c] = upright[(r % side) * side + (c % side)];
    }
  }
  // one sign for each tile: the tile that a row and a column belong to, as one-hot matrices
  const tileOf = (size: number, first: number, count: number) =>
    Int32Array.from({ length: size }, (_, i) => Math.min(Math.max(Math.trunc((i - first) / side), 0), count - 1));
  const rows = oneHot(tensor(device, tileOf(height, top, down), [height], 'i32'), down);
  const columns = oneHot(tensor(device, tileOf(width, left, across), [width], 'i32'), across);
  const signs = matmul(matmul(rows, randomSigns(device, [n * channels, down, across], random)), columns, { transposeB: true });
  const d = mul(signs.reshape(shape), tensor(device, pattern, [1, 1, height, width]));
  return project(x, mul(normalised(d, 'l2'), settings.eps), settings);
}

/**
 * L2: the energy of two windows, and what is left of eps² (a part for each channel), moves into the first of them: as a bump on top of
 * what is there. The second window is emptied.
 */
function rebump(x: Tensor, d: Tensor, share: number, settings: SquareSettings, random: Random): Perturbed {
  const [n, channels, height, width] = x.shape;
  const side = windowSide(share, height, width, 'l2');
  const [target, source] = [randomWindows(x, side, random), randomWindows(x, side, random)];
  const inTarget = windowMask(target);
  const inBoth = elementwise('max', [inTarget, windowMask(source)]);
  const signs = randomSigns(x.device, [n, channels, 1, 1], random);
  const pattern = mul(placed(bumps(x, side, random), target), signs);
  const shape = unitChannels(add(pattern, unitChannels(mul(d, inTarget))));
  const left = elementwise('affine', [square(sampleNorms(d, 'l2'))], [-1, settings.eps ** 2]);
  const unused = column(elementwise('relu', [left]), x);
  const energy = elementwise('axpy', [channelEnergy(mul(d, inBoth)), unused], [1 / channels]);
  const emptied = mul(d, elementwise('affine', [inBoth], [-1, 1]));
  const next = add(emptied, mul(shape, elementwise('sqrt', [energy])));
  return project(x, mul(normalised(next, 'l2'), settings.eps), settings);
}

interface State {
  d: Tensor;
  adv: Tensor;
  /** The margin of the strongest other class, [N]: positive where it wins. */
  margin: Tensor;
}

/** Keeps a proposal where it raises the margin, and wherever it fools the model. */
function accept(state: State, proposal: Perturbed, margin: Tensor): State {
  const better = elementwise('max', [elementwise('greater', [margin, state.margin]), positive(margin)]);
  return {
    d: choose(better, proposal.d, state.d),
    adv: choose(better, proposal.adv, state.adv),
    margin: elementwise('where', [better, margin, state.margin]),
  };
}

/** 1 where a value is above 0, else 0. */
function positive(values: Tensor): Tensor {
  return elementwise('greater', [values, full(values.device, [1], 0)]);
}

/**
 * One run of Square.
 * @param forward the model in eval mode
 * @returns for samples that are not fooled, the image of the highest margin
 */
export async function squareAttack(
  forward: Forward,
  x: Tensor,
  labels: Tensor,
  settings: SquareSettings,
  random: Random,
  pace?: Pace,
): Promise<Outcome> {
  const { device } = x;
  const { norm, queries } = settings;
  const marginOf = (adv: Tensor) => F.noGrad(() => F.margin(predict(forward, adv), labels));
  let state = scope(device, (): State => {
    const first = norm === 'linf' ? stripes(x, settings, random) : tiles(x, settings, random);
    return { ...first, margin: marginOf(first.adv) };
  });
  for (let query = 1; query < queries; query++) {
    state = advance(device, state, before => {
      const share = windowShare(query - 1);
      const propose = norm === 'linf' ? repaint : rebump;
      const proposal = propose(x, before.d, share, settings, random);
      return accept(before, proposal, marginOf(proposal.adv));
    });
    await pace?.(query, queries - 1);
    if (query % LOOK_EVERY === 0 && (await state.margin.floats()).every(margin => margin > 0)) break;
  }
  return advance(device, state, ({ adv, margin }): Outcome => ({ adv, fooled: positive(margin) }));
}
