/** Operations on the rows of logits [N, K]. */
import * as kernel from '../kernels/rows.ts';
import { wantFloat, wantLabels, wantLogits } from './checks.ts';
import { empty, type Tensor } from './tensor.ts';

const rows = (op: string, z: Tensor): [number, number] => {
  wantFloat(op, z);
  wantLogits(z);
  return [z.shape[0], z.shape[1]];
};

export function softmax(z: Tensor): Tensor {
  const size = rows('softmax', z);
  const y = empty(z.device, z.shape);
  kernel.softmax(z.device, z.storage, y.storage, ...size);
  return y;
}

export function logSoftmax(z: Tensor): Tensor {
  const size = rows('logSoftmax', z);
  const y = empty(z.device, z.shape);
  kernel.logSoftmax(z.device, z.storage, y.storage, ...size);
  return y;
}

export function logSoftmaxBackward(g: Tensor, logp: Tensor): Tensor {
  const y = empty(g.device, g.shape);
  kernel.logSoftmaxBackward(g.device, g.storage, logp.storage, y.storage, ...rows('logSoftmaxBackward', g));
  return y;
}

/** Cross-entropy of each row with int32 labels [N]: [N]; NaN where a label is none of the K classes. */
export function crossEntropyRows(z: Tensor, labels: Tensor, smoothing = 0): Tensor {
  wantLabels('crossEntropy', z, labels);
  const [n, k] = z.shape;
  const y = empty(z.device, [n]);
  kernel.crossEntropy(z.device, z.storage, labels.storage, y.storage, n, k, smoothing);
  return y;
}

/** (softmax - target) · g[n]; a row of NaN where a label is none of the K classes. */
export function crossEntropyRowsBackward(z: Tensor, labels: Tensor, g: Tensor, smoothing = 0): Tensor {
  wantLabels('crossEntropy', z, labels);
  const [n, k] = z.shape;
  const y = empty(z.device, z.shape);
  kernel.crossEntropyBackward(z.device, z.storage, labels.storage, g.storage, y.storage, n, k, smoothing);
  return y;
}

/** The k largest of each row in falling order (ties: the lowest index first): values [N, k] and int32 indices [N, k]. */
export function topK(z: Tensor, k: number): { values: Tensor; indices: Tensor } {
  const [n, classes] = rows('topK', z);
  if (k > classes) throw new Error(`top ${k} of rows of ${classes}`);
  const values = empty(z.device, [n, k]);
  const indices = empty(z.device, [n, k], 'i32');
  kernel.topK(z.device, z.storage, values.storage, indices.storage, n, classes, k);
  return { values, indices };
}
