/** Cases of the kernels that multiply: convolution's passes and the matrix product. */
import type { Device } from '../../device/index.ts';
import { SparrowError } from '../../errors.ts';
import { convForward, convInputGrad, convWeightGrad } from '../../kernels/conv.ts';
import type { GemmTile } from '../../kernels/conv-gemm.ts';
import type { MatrixTile } from '../../kernels/conv-matrix.ts';
import type { PassTile, WeightTile } from '../../kernels/conv-tiles.ts';
import { pick, spread } from '../../kernels/spread.ts';
import { type ConvOptions, convShape } from '../../tensor/conv.ts';
import { matmul } from '../../tensor/linalg.ts';
import { empty } from '../../tensor/tensor.ts';
import { bytesOf, each, floats, type KernelCase } from './case.ts';

interface ConvSizes {
  n: number;
  ci: number;
  co: number;
  /** Image height and width. */
  h: number;
  w: number;
  kernel: number;
  options: ConvOptions;
}

/** Sizes that no tile divides, with stride and groups; and the first stage of a ResNet-18. */
const small: ConvSizes[] = [
  { n: 2, ci: 5, co: 7, h: 9, w: 7, kernel: 3, options: { padding: 1 } },
  { n: 2, ci: 6, co: 4, h: 8, w: 8, kernel: 3, options: { padding: 1, stride: 2, groups: 2 } },
];
const large: ConvSizes[] = [{ n: 8, ci: 64, co: 64, h: 32, w: 32, kernel: 3, options: { padding: 1 } }];

type Kernel = 'taps' | 'lists' | 'gemm' | 'matrix' | 'sparse' | 'winograd';

/** Tiles for the kernel that is not the adapter's own. */
const gemm: GemmTile = { kernel: 'gemm', wx: 16, wy: 16, tm: 4, tn: 4, depth: 16 };
const matrix: MatrixTile = { kernel: 'matrix', wm: 2, wn: 4, fm: 2, fn: 2, depth: 32 };
const other: Record<Exclude<Kernel, 'lists'>, { pass: PassTile; weight?: WeightTile }> = {
  taps: {
    pass: { kernel: 'taps', q: 2, v: 1, r: 1, lanes: 0 },
    weight: { kernel: 'taps', tm: 8, tc: 1, v: 1, all: false, lanes: 0, parallel: 512 },
  },
  gemm: { pass: gemm, weight: { ...gemm, parallel: 64 } },
  matrix: { pass: matrix, weight: { ...matrix, parallel: 64 } },
  winograd: { pass: { kernel: 'winograd', m: 4 } },
  sparse: { pass: { kernel: 'sparse', tc: 8, tr: 4, ng: 1, nv: 2, g: 1, wy: 8, depth: 4, u: 4, slices: 1 } },
};

/** Registers with lists of rows of taps, for subgroups of whatever size. */
function listsTile({ adapter: { subgroupSize: lanes } }: Device): PassTile {
  if (lanes === 0)
    throw new SparrowError(
      '--kernel conv_lists: the adapter has no subgroups of one size; run it on one that has (sparrow adapters)',
    );
  return { kernel: 'taps', q: Math.max(2, lanes / 4), v: 1, r: 1, lanes, lists: true };
}

type Pass = 'forward' | 'input gradient' | 'weight gradient';

/** One pass by its definition: every product x·w belongs to one y, whichever of the three is summed into. */
function convolve(pass: Pass, z: ConvSizes, a: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  const [xShape, wShape] = shapesOf(z);
  const s = convShape(xShape, wShape, z.options);
  const [cg, og] = [s.ci / s.groups, s.co / s.groups];
  const sizes = {
    forward: s.n * s.co * s.oh * s.ow,
    'input gradient': s.n * s.ci * s.h * s.w,
    'weight gradient': s.co * cg * s.kh * s.kw,
  };
  const out = new Float64Array(sizes[pass]);
  for (let n = 0; n < s.n; n++)
    for (let co = 0; co < s.co; co++)
      for (let c = 0; c < cg; c++)
        for (let kh = 0; kh < s.kh; kh++)
          for (let kw = 0; kw < s.kw; kw++) {
            const w = ((co * cg + c) * s.kh + kh) * s.kw + kw;
            const plane = n * s.ci + Math.floor(co / og) * cg + c;
            for (let oh = 0; oh < s.oh; oh++) {
              const i = oh * s.stride + kh * s.dilation - s.padding;
              if (i < 0 || i >= s.h) continue;
              for (let ow = 0; ow < s.ow; ow++) {
                const j = ow * s.stride + kw * s.dilation - s.padding;
                if (j < 0 || j >= s.w) continue;
                const x = (plane * s.h + i) * s.w + j;
                const y = ((n * s.co + co) * s.oh + oh) * s.ow + ow;
                if (pass === 'forward') out[y] += a[x] * b[w];
                else if (pass === 'input gradient') out[x] += a[y] * b[w];
                else out[w] += a[x] * b[y];
              }
            }
          }
  return out;
}

function shapesOf({ n, ci, co, h, w, kernel, options }: ConvSizes): [number[], number[]] {
  return [
    [n, ci, h, w],
    [co, ci / (options.groups ?? 1), kernel, kernel],
  ];
}

/** Values of which about four in five are 0. */
function fifth(shape: readonly number[]) {
  const given = floats(shape, 2);
  return { ...given, values: given.values.map((v, i) => (i % 5 === 3 || i % 11 === 0 ? v : 0)) };
}

/** @param kernel in registers, through workgroup memory, on matrix units, from lists of weights (of two kinds), or after Winograd; its tile is the default where it is the adapter's own */
function convCase(kernel: Kernel, pass: Pass, z: ConvSizes, size: KernelCase['size']): KernelCase {
  const [x, w] = shapesOf(z);
  const s = convShape(x, w, z.options);
  const y = [s.n, s.co, s.oh, s.ow];
  const operands = { forward: [x, w], 'input gradient': [y, w], 'weight gradient': [x, y] }[pass];
  const { stride = 1, groups = 1 } = z.options;
  const few = kernel === 'sparse' || kernel === 'lists';
  const note = `${stride > 1 ? `, stride ${stride}` : ''}${groups > 1 ? `, ${groups} groups` : ''}`;
  return {
    title: `${pass} [${x}] * [${w}]${note}${few ? ', a fifth of the weights' : ''}`,
    size,
    inputs: () => operands.map((shape, i) => (few && i === 1 ? fifth(shape) : floats(shape, i + 1))),
    launch: (device, [a, b]) => {
      const out = empty(device, pass === 'forward' ? y : pass === 'input gradient' ? x : w);
      const own = kernel === (device.adapter.processor ? 'taps' : 'gemm');
      const { pass: tile, weight } =
        kernel === 'lists' ? { pass: listsTile(device), weight: undefined } : own ? {} : other[kernel];
      const [first, second] = [a.storage, b.storage];
      if (pass === 'forward') convForward(device, first, second, out.storage, s, tile);
      else if (pass === 'input gradient') convInputGrad(device, first, second, out.storage, s, tile);
      else convWeightGrad(device, first, second, out.storage, s, weight);
      return [out];
    },
    reference: ([a, b]) => [convolve(pass, z, a, b)],
    // operands of matrix units are rounded to f16
    tolerance: kernel === 'matrix' ? 1e-3 : 1e-5,
    ...(kernel === 'matrix' ? { matrixUnits: true } : {}),
    work: { flops: (2 * s.n * s.oh * s.ow * s.co * s.ci * s.kh * s.kw) / s.groups },
  };
}

/** Whole tiles of 16, which matrix units work on. */
const tiles: ConvSizes[] = [{ n: 2, ci: 32, co: 64, h: 8, w: 8, kernel: 3, options: { padding: 1 } }];

/** Three by three taps of stride 1, on images that no tile divides. */
const neighbours: ConvSizes[] = [{ n: 2, ci: 5, co: 7, h: 9, w: 7, kernel: 3, options: { padding: 1 } }];

const convCases = (kernel: Kernel, pass: Pass) => [
  ...({ matrix: tiles, winograd: neighbours, lists: neighbours }[kernel as string] ?? small).map(z =>
    convCase(kernel, pass, z, 'small'),
  ),
  ...large.map(z => convCase(kernel, pass, z, 'large')),
];

function matmulCase(m: number, n: number, k: number, size: KernelCase['size'], transposeB = false): KernelCase {
  return {
    title: `[${m}, ${k}] · [${k}, ${n}]${transposeB ? ', the second transposed' : ''}`,
    size,
    inputs: () => [floats([m, k], 1), floats(transposeB ? [n, k] : [k, n], 2)],
    launch: (_, [a, b]) => [matmul(a, b, { transposeB })],
    reference: ([a, b]) => [
      each(m * n, i => {
        const [row, col] = [Math.floor(i / n), i % n];
        let sum = 0;
        for (let l = 0; l < k; l++) sum += a[row * k + l] * b[transposeB ? col * k + l : l * n + col];
        return sum;
      }),
    ],
    tolerance: 1e-5,
    work: { flops: 2 * m * n * k },
  };
}

/** A plane's elements to every second row and column, from the second on; added to another tensor. */
function spreadCase(m: number, rows: number, cols: number, size: KernelCase['size']): KernelCase {
  const [h, w] = [2 * rows, 2 * cols];
  return {
    title: `[${m}, ${rows}, ${cols}] over [${m}, ${h}, ${w}]`,
    size,
    inputs: () => [floats([m, rows, cols], 1), floats([m, h, w], 2)],
    launch: (device, [x, before]) => {
      const y = empty(device, [m, h, w]);
      spread(device, x.storage, y.storage, { m, rows, cols, h, w, stride: 2, a: 1, b: 1 }, before.storage);
      return [y];
    },
    reference: ([x, before]) => [
      each(m * h * w, i => {
        const [plane, row, col] = [Math.floor(i / (h * w)), Math.floor(i / w) % h, i % w];
        const own = row % 2 === 1 && col % 2 === 1 ? x[(plane * rows + (row - 1) / 2) * cols + (col - 1) / 2] : 0;
        return own + before[i];
      }),
    ],
    tolerance: 1e-6,
    work: bytesOf(m * rows * cols + 2 * m * h * w),
  };
}

/** Every second row and column of a plane. */
function pickCase(m: number, h: number, w: number, size: KernelCase['size']): KernelCase {
  const [rows, cols] = [Math.ceil(h / 2), Math.ceil(w / 2)];
  return {
    title: `[${m}, ${rows}, ${cols}] of [${m}, ${h}, ${w}]`,
    size,
    inputs: () => [floats([m, h, w], 1)],
    launch: (device, [x]) => {
      const y = empty(device, [m, rows, cols]);
      pick(device, x.storage, y.storage, { m, rows, cols, h, w, stride: 2 });
      return [y];
    },
    reference: ([x]) => [
      each(m * rows * cols, i => x[(Math.floor(i / (rows * cols)) * h + 2 * (Math.floor(i / cols) % rows)) * w + 2 * (i % cols)]),
    ],
    tolerance: 0,
    work: bytesOf(m * rows * cols + m * rows * w),
  };
}

/** By kernel file. Weights are packed for every launch of a pass, so conv_taps' cases are conv_pack's too. */
export const productCases: Readonly<Record<string, readonly KernelCase[]>> = {
  conv_taps: [...convCases('taps', 'forward'), ...convCases('taps', 'input gradient')],
  conv_sparse: [...convCases('sparse', 'forward'), ...convCases('sparse', 'input gradient')],
  conv_sparse_pack: convCases('sparse', 'forward'),
  conv_pack: convCases('taps', 'forward'),
  conv_lists: [...convCases('lists', 'forward'), ...convCases('lists', 'input gradient')],
  conv_weight_grad: convCases('taps', 'weight gradient'),
  conv_gemm: [...convCases('gemm', 'forward'), ...convCases('gemm', 'input gradient')],
  conv_gemm_weight_grad: convCases('gemm', 'weight gradient'),
  conv_matrix: [...convCases('matrix', 'forward'), ...convCases('matrix', 'input gradient')],
  conv_matrix_weight_grad: convCases('matrix', 'weight gradient'),
  winograd_weights: convCases('winograd', 'forward'),
  winograd_input: [...convCases('winograd', 'forward'), ...convCases('winograd', 'input gradient')],
  winograd_output: convCases('winograd', 'forward'),
  spread: [spreadCase(3, 5, 7, 'small'), spreadCase(3, 5, 6, 'small'), spreadCase(8 * 64, 16, 16, 'large')],
  pick: [pickCase(3, 5, 7, 'small'), pickCase(3, 6, 16, 'small'), pickCase(8 * 64, 32, 32, 'large')],
  matmul: [matmulCase(5, 7, 9, 'small'), matmulCase(33, 17, 40, 'small', true), matmulCase(512, 512, 512, 'large')],
};
