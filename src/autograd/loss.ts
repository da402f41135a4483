/** Losses on logits [N, K] with their derivatives. */
import { wantLabels } from '../tensor/checks.ts';
import { oneHot } from '../tensor/index.ts';
import * as raw from '../tensor/rows.ts';
import { full, type Tensor } from '../tensor/tensor.ts';
import { add, exp, mul, neg, sub, where } from './elementwise.ts';
import { gather } from './gather.ts';
import { max, mean, sum } from './reduce.ts';
import { reshape } from './shape.ts';
import { isRecording, record } from './tape.ts';

export type Reduction = 'mean' | 'sum' | 'none';

function reduced(perSample: Tensor, reduction: Reduction): Tensor {
  return reduction === 'mean' ? mean(perSample) : reduction === 'sum' ? sum(perSample) : perSample;
}

/** log softmax over classes. Backward: g - softmax·Σ g. */
export function logSoftmax(z: Tensor): Tensor {
  const y = raw.logSoftmax(z);
  return record('logSoftmax', [z], y, g => [
    isRecording() ? sub(g, mul(exp(y), sum(g, { axes: [1], keepDims: true }))) : raw.logSoftmaxBackward(g, y),
  ]);
}

/** softmax over classes, [N, K]. */
export function softmax(z: Tensor): Tensor {
  return exp(logSoftmax(z));
}

export interface CrossEntropyOptions {
  reduction?: Reduction;
  /** Label smoothing s: the target is (1-s)·onehot + s/K. */
  smoothing?: number;
}

/**
 * Cross-entropy with int32 labels [N]; the mean over samples by default. Backward by logits: (softmax - target)·g. A label that is none of 0..K-1 makes its
 * sample's loss and gradient NaN. @throws Error for labels that are no integers, or not one for each of the logits' rows
 */
export function crossEntropy(z: Tensor, labels: Tensor, { reduction = 'mean', smoothing = 0 }: CrossEntropyOptions = {}): Tensor {
  const perSample = record('crossEntropy', [z], raw.crossEntropyRows(z, labels, smoothing), g => {
    if (!isRecording()) return [raw.crossEntropyRowsBackward(z, labels, g, smoothing)];
    const k = z.shape[1];
    const own = oneHot(labels, k);
    const known = sum(own, { axes: [1], keepDims: true });
    const target = where(known, add(mul(own, 1 - smoothing), smoothing / k), full(z.device, [1, 1], Number.NaN));
    return [mul(sub(softmax(z), target), reshape(g, [-1, 1]))];
  });
  return reduced(perSample, reduction);
}

/**
 * KL(softmax p ‖ softmax q) = Σ_k P_k (log P_k - log Q_k) of logits p, q, each row; gradients flow into both.
 * @param reduction the sum by default; `mean` divides by N (PyTorch's `batchmean`)
 */
export function klDivergence(p: Tensor, q: Tensor, reduction: Reduction = 'sum'): Tensor {
  const logP = logSoftmax(p);
  return reduced(sum(mul(exp(logP), sub(logP, logSoftmax(q))), { axes: [1] }), reduction);
}

/** z_y of each row, by int32 labels [N]: [N]; 0 where a label is none of 0..K-1. @throws Error as crossEntropy */
export function labelLogit(z: Tensor, labels: Tensor): Tensor {
  wantLabels('labelLogit', z, labels);
  return reshape(gather(z, labels.reshape([-1, 1]), 1), [-1]);
}

/** max over j != y of z_j - z_y of each row (Carlini and Wagner's margin): positive where the sample is misclassified. [N]. @throws Error as crossEntropy */
export function margin(z: Tensor, labels: Tensor): Tensor {
  wantLabels('margin', z, labels);
  const own = oneHot(labels, z.shape[1]);
  const others = where(own, full(z.device, [1, 1], -1e30), z);
  return add(max(others, { axes: [1] }), neg(labelLogit(z, labels)));
}
