/**
 * Explanations in float64, for a network of two convolutions:
 *
 *   z = W·mean over space of a2 + c,   a2 = relu(bn2(w2 * a1)),   a1 = relu(bn1(w1 * x))
 *
 * in eval mode; both convolutions 3x3 with padding 1, the second with stride 2. Grad-CAM by its formula, its eigen smoothing by a singular value
 * decomposition of Hestenes and Jacobi, enlargement by hat functions.
 */
import { type Ref, ref } from './array.ts';
import { type ConvOptions, conv2d } from './conv.ts';
import { batchNormEval } from './norm.ts';

/** Arrays by the names of a state_dict: conv1.weight, bn1.weight, ..., linear.bias. */
export type TinyState = Readonly<Record<string, Ref>>;

/** Shapes of the state: `channels` of the image, `widths` of the two maps. */
export function tinyShapes(
  channels: number,
  [first, second]: readonly [number, number],
  classes: number,
): Record<string, number[]> {
  const norm = (name: string, width: number) =>
    Object.fromEntries(['weight', 'bias', 'running_mean', 'running_var'].map(part => [`${name}.${part}`, [width]]));
  return {
    'conv1.weight': [first, channels, 3, 3],
    ...norm('bn1', first),
    'conv2.weight': [second, first, 3, 3],
    ...norm('bn2', second),
    'linear.weight': [classes, second],
    'linear.bias': [classes],
  };
}

const strides = { conv1: 1, conv2: 2 } as const;
const optionsOf = (conv: keyof typeof strides): ConvOptions => ({
  stride: [strides[conv], strides[conv]],
  padding: [1, 1],
  dilation: [1, 1],
  groups: 1,
});

function normOf(state: TinyState, name: string) {
  const [gamma, beta] = [state[`${name}.weight`], state[`${name}.bias`]];
  return { gamma, beta, running: { mean: state[`${name}.running_mean`], variance: state[`${name}.running_var`] } };
}

export interface TinyPass {
  /** [N, K] */
  logits: Ref;
  a1: Ref;
  a2: Ref;
  /** Gradients of the sum over images of the logit of each one's class. */
  gradients(classes: readonly number[]): { x: Ref; a1: Ref; a2: Ref };
}

export function tiny(state: TinyState, x: Ref): TinyPass {
  const [n1, n2] = [normOf(state, 'bn1'), normOf(state, 'bn2')];
  const c1 = conv2d.forward(x, state['conv1.weight'], optionsOf('conv1'));
  const a1 = batchNormEval.forward(c1, n1.gamma, n1.beta, n1.running, { relu: true });
  const c2 = conv2d.forward(a1, state['conv2.weight'], optionsOf('conv2'));
  const a2 = batchNormEval.forward(c2, n2.gamma, n2.beta, n2.running, { relu: true });
  const [n, width, h, w] = a2.shape;
  const positions = h * w;
  const [weight, bias] = [state['linear.weight'], state['linear.bias']];
  const classesCount = bias.data.length;
  const logits = ref([n, classesCount]);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < classesCount; k++) {
      let z = bias.data[k];
      for (let c = 0; c < width; c++)
        for (let p = 0; p < positions; p++)
          z += (weight.data[k * width + c] * a2.data[(i * width + c) * positions + p]) / positions;
      logits.data[i * classesCount + k] = z;
    }
  return {
    logits,
    a1,
    a2,
    gradients(classes) {
      const g2 = ref(a2.shape);
      g2.data.forEach((_, at) => {
        const [i, c] = [Math.floor(at / (width * positions)), Math.floor(at / positions) % width];
        g2.data[at] = weight.data[classes[i] * width + c] / positions;
      });
      const [d2] = batchNormEval.backward(c2, n2.gamma, n2.beta, n2.running, { relu: true }, g2);
      const g1 = conv2d.inputGradient(a1.shape, state['conv2.weight'], optionsOf('conv2'), d2);
      const [d1] = batchNormEval.backward(c1, n1.gamma, n1.beta, n1.running, { relu: true }, g1);
      return { x: conv2d.inputGradient(x.shape, state['conv1.weight'], optionsOf('conv1'), d1), a1: g1, a2: g2 };
    },
  };
}

/** An activation map before scaling, and how well its numbers determine it: near 0 they hardly do. */
export interface RawCam {
  /** [h, w], not negative. */
  map: Ref;
  condition: number;
}

/** relu of the weighted activations' sum, or of their first principal component, for image `index` of A and its gradient [N, C, h, w]. */
export function rawCam(a: Ref, gradient: Ref, index: number, eigen: boolean): RawCam {
  const [, channels, h, w] = a.shape;
  const positions = h * w;
  const rows = Array.from({ length: channels }, (_, c) => {
    const start = (index * channels + c) * positions;
    let weight = 0;
    for (let p = 0; p < positions; p++) weight += gradient.data[start + p] / positions;
    return Array.from({ length: positions }, (_, p) => weight * a.data[start + p]);
  });
  const total = rows[0].map((_, p) => rows.reduce((sum, row) => sum + row[p], 0));
  const size = Math.max(...rows.flat().map(Math.abs), 1e-300);
  const { map, gap } = eigen ? oriented(principalComponent(rows), total) : { map: total, gap: 1 };
  const positive = map.map(value => Math.max(value, 0));
  const range = Math.max(...positive) - Math.min(...positive);
  return { map: ref([h, w], positive), condition: Math.min(gap, range / size) };
}

/** The component with the sign that agrees with the sum over channels; no gap where the two are nearly at right angles. */
function oriented({ projection, gap }: { projection: number[]; gap: number }, total: number[]): { map: number[]; gap: number } {
  const product = projection.reduce((sum, value, p) => sum + value * total[p], 0);
  const angle = Math.abs(product) / (length(projection) * length(total) || 1);
  return { map: projection.map(value => (product < 0 ? -value : value)), gap: Math.min(gap, angle) };
}

const length = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

/**
 * X v for the first right singular vector v of X [P, C], the rows' transpose with centred columns: pairs of columns are turned until all are
 * at right angles (one-sided Jacobi); the columns are then X times the singular vectors, and the longest is wanted.
 * @param rows [C][P] @returns the column, and 1 - (second length / first)
 */
export function principalComponent(rows: readonly (readonly number[])[]): { projection: number[]; gap: number } {
  const columns = rows.map(row => {
    const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
    return row.map(value => value - mean);
  });
  const dot = (a: number[], b: number[]) => a.reduce((sum, value, p) => sum + value * b[p], 0);
  for (let sweep = 0; sweep < 60; sweep++) {
    let turned = false;
    for (let i = 0; i < columns.length; i++)
      for (let j = i + 1; j < columns.length; j++) {
        const [aa, bb, ab] = [dot(columns[i], columns[i]), dot(columns[j], columns[j]), dot(columns[i], columns[j])];
        if (Math.abs(ab) <= 1e-15 * Math.sqrt(aa * bb)) continue;
        turned = true;
        const angle = Math.atan2(2 * ab, aa - bb) / 2;
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
        [columns[i], columns[j]] = [
          columns[i].map((value, p) => cos * value + sin * columns[j][p]),
          columns[j].map((value, p) => cos * value - sin * columns[i][p]),
        ];
      }
    if (!turned) break;
  }
  const sorted = columns.toSorted((a, b) => length(b) - length(a));
  const [first, second = []] = sorted;
  return { projection: first, gap: 1 - length(second) / (length(first) || 1) };
}

/**
 * Enlarged to [height, width] as a sum of hat functions around the map's positions, and then scaled to [0, 1] (zeros where it is constant): the order
 * of pytorch-grad-cam, whose `aggregate_multi_layers` ends by scaling what `scale_cam_image` has enlarged.
 */
export function finishedCam({ shape: [h, w], data }: Ref, height: number, width: number): Ref {
  const large = ref([height, width]);
  const hat = (to: number, size: number, from: number, i: number) => {
    const centre = Math.min(Math.max(((to + 0.5) * from) / size - 0.5, 0), from - 1);
    return Math.max(0, 1 - Math.abs(centre - i));
  };
  large.data.forEach((_, at) => {
    const [y, x] = [Math.floor(at / width), at % width];
    for (let i = 0; i < h; i++)
      for (let j = 0; j < w; j++) large.data[at] += data[i * w + j] * hat(y, height, h, i) * hat(x, width, w, j);
  });
  const [low, high] = [Math.min(...large.data), Math.max(...large.data)];
  return ref(
    large.shape,
    large.data.map(value => (high > low ? (value - low) / (high - low) : 0)),
  );
}
