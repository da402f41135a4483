/**
 * Losses on logits z [N, K] with labels y [N]. Softmax is along the last axis and shifted by the row's maximum, which changes nothing but
 * the range. Rows of the attack losses follow Croce and Hein, "Reliable evaluation of adversarial robustness" (ICML 2020), section 4.
 */
import { map, type Ref, ref, scalar, zip } from './array.ts';
import { rankDescending } from './select.ts';

/** The rows of a matrix [N, K] as views of its data. */
function rowsOf(z: Ref): Float64Array[] {
  const width = z.shape[z.shape.length - 1];
  return Array.from({ length: z.data.length / width }, (_, n) => z.data.subarray(n * width, (n + 1) * width));
}

/** A matrix from f of every row. */
function mapRows(z: Ref, f: (row: Float64Array, n: number) => ArrayLike<number>): Ref {
  return ref(
    z.shape,
    rowsOf(z).flatMap((row, n) => Array.from(f(row, n))),
  );
}

/** z - log(sum of exp z), along the last axis. */
export const logSoftmax = {
  forward(z: Ref): Ref {
    return mapRows(z, row => {
      const top = Math.max(...row);
      const logSum = top + Math.log(row.reduce((sum, value) => sum + Math.exp(value - top), 0));
      return row.map(value => value - logSum);
    });
  },
  /** dz = g - softmax(z)·(sum of g). */
  backward(z: Ref, gradOutput: Ref): Ref {
    const p = rowsOf(softmax.forward(z));
    return mapRows(gradOutput, (g, n) => {
      const sum = g.reduce((total, value) => total + value, 0);
      return g.map((value, k) => value - p[n][k] * sum);
    });
  },
};

/** exp(z) / sum of exp(z), along the last axis. */
export const softmax = {
  forward: (z: Ref): Ref => map(logSoftmax.forward(z), Math.exp),
  /** dz = p·(g - sum of p·g). */
  backward(z: Ref, gradOutput: Ref): Ref {
    const p = rowsOf(softmax.forward(z));
    return mapRows(gradOutput, (g, n) => {
      const weighted = g.reduce((total, value, k) => total + p[n][k] * value, 0);
      return g.map((value, k) => p[n][k] * (value - weighted));
    });
  },
};

export interface CrossEntropyOptions {
  reduction?: 'mean' | 'sum' | 'none';
  labelSmoothing?: number;
}

/**
 * Cross-entropy against the target distribution (1 - s)·onehot(y) + s/K. Output [] or, for `none`, [N].
 */
export const crossEntropy = {
  forward(z: Ref, labels: ArrayLike<number>, options: CrossEntropyOptions = {}): Ref {
    const { reduction = 'mean' } = options;
    const target = rowsOf(smoothTarget(z.shape, labels, options.labelSmoothing));
    const losses = rowsOf(logSoftmax.forward(z)).map((row, n) => -row.reduce((sum, logP, k) => sum + target[n][k] * logP, 0));
    if (reduction === 'none') return ref([losses.length], losses);
    const sum = losses.reduce((total, loss) => total + loss, 0);
    return scalar(reduction === 'mean' ? sum / losses.length : sum);
  },
  /** dz = (softmax(z) - target)·g, over N for the mean. */
  backward(z: Ref, labels: ArrayLike<number>, options: CrossEntropyOptions, gradOutput: Ref): Ref {
    const { reduction = 'mean' } = options;
    const difference = zip(softmax.forward(z), smoothTarget(z.shape, labels, options.labelSmoothing), (p, t) => p - t);
    return mapRows(difference, (row, n) => {
      const g = reduction === 'none' ? gradOutput.data[n] : gradOutput.data[0];
      return row.map(value => (value * g) / (reduction === 'mean' ? z.shape[0] : 1));
    });
  },
};

function smoothTarget(shape: readonly number[], labels: ArrayLike<number>, smoothing = 0): Ref {
  const [, classes] = shape;
  return mapRows(ref(shape), (row, n) => row.map((_, k) => (k === labels[n] ? 1 - smoothing : 0) + smoothing / classes));
}

/** `batchmean` divides the sum by N. */
export type KlReduction = 'sum' | 'batchmean';

/** KL(softmax(a) || softmax(b)) = sum of p·(log p - log q), p from a, q from b. Output []. */
export const klDivergence = {
  forward(a: Ref, b: Ref, reduction: KlReduction): Ref {
    const sum = rowDivergences(a, b).reduce((total, value) => total + value, 0);
    return scalar(reduction === 'batchmean' ? sum / a.shape[0] : sum);
  },
  /** da = p·((log p - log q) - KL of the row), db = q - p. */
  backward(a: Ref, b: Ref, reduction: KlReduction, gradOutput: Ref): [Ref, Ref] {
    const scale = gradOutput.data[0] / (reduction === 'batchmean' ? a.shape[0] : 1);
    const divergence = rowDivergences(a, b);
    const logRatio = rowsOf(zip(logSoftmax.forward(a), logSoftmax.forward(b), (logP, logQ) => logP - logQ));
    const da = mapRows(softmax.forward(a), (p, n) => p.map((value, k) => scale * value * (logRatio[n][k] - divergence[n])));
    const db = zip(softmax.forward(b), softmax.forward(a), (q, p) => scale * (q - p));
    return [da, db];
  },
};

function rowDivergences(a: Ref, b: Ref): number[] {
  const logP = logSoftmax.forward(a);
  const terms = zip(logP, logSoftmax.forward(b), (p, q) => Math.exp(p) * (p - q));
  return rowsOf(terms).map(row => row.reduce((sum, value) => sum + value, 0));
}

/** Index of the largest value of a row apart from class y; among equals the lowest. */
function bestOther(row: Float64Array, y: number): number {
  return rankDescending(row).find(k => k !== y)!;
}

/** CW margin of each sample: max over j != y of z_j, minus z_y. Positive where the sample is misclassified. Output [N]. */
export const cwMargin = {
  forward(z: Ref, labels: ArrayLike<number>): Ref {
    return ref(
      [z.shape[0]],
      rowsOf(z).map((row, n) => row[bestOther(row, labels[n])] - row[labels[n]]),
    );
  },
  backward(z: Ref, labels: ArrayLike<number>, gradOutput: Ref): Ref {
    return mapRows(z, (row, n) => {
      const dz = new Float64Array(row.length);
      dz[bestOther(row, labels[n])] += gradOutput.data[n];
      dz[labels[n]] -= gradOutput.data[n];
      return dz;
    });
  },
};

/** A linear form of a row: pairs (class, coefficient). */
type Form = [index: number, coefficient: number][];

/** -numerator/(denominator + 1e-12) of each row, where both are linear forms chosen by the row's order. */
function ratioLoss(z: Ref, forms: (row: Float64Array, n: number) => { numerator: Form; denominator: Form }): Ref {
  const losses = rowsOf(z).map((row, n) => {
    const { numerator, denominator } = forms(row, n);
    return -evaluate(numerator, row) / (evaluate(denominator, row) + 1e-12);
  });
  return ref([losses.length], losses);
}

/** Quotient rule: d(-a/b) = -da/b + a·db/b². */
function ratioLossBackward(
  z: Ref,
  forms: (row: Float64Array, n: number) => { numerator: Form; denominator: Form },
  gradOutput: Ref,
): Ref {
  return mapRows(z, (row, n) => {
    const { numerator, denominator } = forms(row, n);
    const a = evaluate(numerator, row);
    const b = evaluate(denominator, row) + 1e-12;
    const dz = new Float64Array(row.length);
    for (const [k, coefficient] of numerator) dz[k] -= (gradOutput.data[n] * coefficient) / b;
    for (const [k, coefficient] of denominator) dz[k] += (gradOutput.data[n] * coefficient * a) / (b * b);
    return dz;
  });
}

const evaluate = (form: Form, row: Float64Array) => form.reduce((sum, [k, coefficient]) => sum + coefficient * row[k], 0);

const dlrForms = (labels: ArrayLike<number>) => (row: Float64Array, n: number) => {
  const [first, , third] = rankDescending(row);
  return {
    numerator: [
      [labels[n], 1],
      [bestOther(row, labels[n]), -1],
    ] as Form,
    denominator: [
      [first, 1],
      [third, -1],
    ] as Form,
  };
};

const targetedForms = (labels: ArrayLike<number>, targets: ArrayLike<number>) => (row: Float64Array, n: number) => {
  const [first, , third, fourth] = rankDescending(row);
  return {
    numerator: [
      [labels[n], 1],
      [targets[n], -1],
    ] as Form,
    denominator: [
      [first, 1],
      [third, -0.5],
      [fourth, -0.5],
    ] as Form,
  };
};

/** Difference of logits ratio of each sample: -(z_y - max over i != y of z_i)/(z_p1 - z_p3 + 1e-12), p the descending order. [N] */
export const dlr = {
  forward: (z: Ref, labels: ArrayLike<number>): Ref => ratioLoss(z, dlrForms(labels)),
  backward: (z: Ref, labels: ArrayLike<number>, gradOutput: Ref): Ref => ratioLossBackward(z, dlrForms(labels), gradOutput),
};

/** Targeted DLR: -(z_y - z_t)/(z_p1 - (z_p3 + z_p4)/2 + 1e-12). Needs at least four classes. [N] */
export const dlrTargeted = {
  forward: (z: Ref, labels: ArrayLike<number>, targets: ArrayLike<number>): Ref => ratioLoss(z, targetedForms(labels, targets)),
  backward: (z: Ref, labels: ArrayLike<number>, targets: ArrayLike<number>, gradOutput: Ref): Ref =>
    ratioLossBackward(z, targetedForms(labels, targets), gradOutput),
};
