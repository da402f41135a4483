/** Operations on the rows of logits [N, K]. */
import * as kernel from '../kernels/rows.ts';
import { empty, type Tensor } from './tensor.ts';

const rows = (z: Tensor): [number, number] => {
  if (z.rank !== 2) throw new Error(`logits of shape [${z.shape}]: [N, K] is wanted`);
  return [z.shape[0], z.shape[1]];
};

export function softmax(z: Tensor): Tensor {
  const y = empty(z.device, z.shape);
  kernel.softmax(z.device, z.storage, y.storage, ...rows(z));
  return y;
}

export function logSoftmax(z: Tensor): Tensor {
  const y = empty(z.device, z.shape);
  kernel.logSoftmax(z.device, z.storage, y.storage, ...rows(z));
  return y;
}

export function logSoftmaxBackward(g: Tensor, logp: Tensor): Tensor {
  const y = empty(g.device, g.shape);
  kernel.logSoftmaxBackward(g.device, g.storage, logp.storage, y.storage, ...rows(g));
  return y;
}

/** Cross-entropy of each row with int32 labels [N]: [N]. */
export function crossEntropyRows(z: Tensor, labels: Tensor, smoothing = 0): Tensor {
  const y = empty(z.device, [z.shape[0]]);
  kernel.crossEntropy(z.device, z.storage, labels.storage, y.storage, ...rows(z), smoothing);
  return y;
}

/** (softmax - target) · g[n]. */
export function crossEntropyRowsBackward(z: Tensor, labels: Tensor, g: Tensor, smoothing = 0): Tensor {
  const y = empty(z.device, z.shape);
  kernel.crossEntropyBackward(z.device, z.storage, labels.storage, g.storage, y.storage, ...rows(z), smoothing);
  return y;
}

/** The k largest of each row in falling order (ties: the lowest index first): values [N, k] and int32 indices [N, k]. */
export function topK(z: Tensor, k: number): { values: Tensor; indices: Tensor } {
  const [n, classes] = rows(z);
  if (k > classes) throw new Error(`top ${k} of rows of ${classes}`);
  const values = empty(z.device, [n, k]);
  const indices = empty(z.device, [n, k], 'i32');
  kernel.topK(z.device, z.storage, values.storage, indices.storage, n, classes, k);
  return { values, indices };
}
