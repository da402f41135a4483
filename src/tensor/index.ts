/** Reading and writing by integer indices. An index out of range reads 0 and writes nothing. */
import * as kernel from '../kernels/index.ts';
import { axisOf, notWhole, wantFloat, wantIntegers } from './checks.ts';
import { empty, sizeOf, type Tensor } from './tensor.ts';

/** The axis from 0. @throws Error unless `at` is of integers and of x's shape; off the axis only, where the two are not `paired` */
function alongAxis(what: string, x: Tensor, at: Tensor, axis: number, paired: boolean): number {
  const d = axisOf(what, x.shape, axis);
  wantIntegers(what, at);
  if (at.rank !== x.rank || at.shape.some((size, i) => (paired || i !== d) && size !== x.shape[i]))
    throw new Error(`${what}: both shapes are to be the same${paired ? '' : ' except along the axis'}`);
  return d;
}

/** y[..., j, ...] = x[..., at[..., j, ...], ...] along `axis`; `at` has x's shape except along it. y has x's type. */
export function gather(x: Tensor, at: Tensor, axis: number): Tensor {
  const d = alongAxis(`gather of [${x.shape}] by indices [${at.shape}] along ${axis}`, x, at, axis, false);
  const y = empty(x.device, at.shape, x.dtype);
  const outer = sizeOf(x.shape.slice(0, d));
  kernel.gather(x.device, at.storage, x.storage, y.storage, outer, at.shape[d], sizeOf(x.shape.slice(d + 1)), x.shape[d]);
  return y;
}

/** The gradient of `gather`: elements of g added up by index, of g's shape; `total` is the size that the axis gets. */
export function scatterAdd(g: Tensor, at: Tensor, axis: number, total: number): Tensor {
  wantFloat('scatterAdd', g);
  const what = `scatterAdd of [${g.shape}] by indices [${at.shape}] along ${axis}`;
  const d = alongAxis(what, g, at, axis, true);
  wantTotal(what, total);
  const y = empty(
    g.device,
    g.shape.map((s, i) => (i === d ? total : s)),
  );
  const outer = sizeOf(g.shape.slice(0, d));
  kernel.scatterAdd(g.device, at.storage, g.storage, y.storage, outer, g.shape[d], sizeOf(g.shape.slice(d + 1)), total);
  return y;
}

/** [N, classes] with 1 at each of the integer indices [N]. */
export function oneHot(at: Tensor, classes: number): Tensor {
  wantIntegers(`oneHot of [${at.shape}] in ${classes} classes`, at);
  const y = empty(at.device, [at.size, classes]);
  kernel.oneHot(at.device, at.storage, y.storage, at.size, classes);
  return y;
}

/** Rows of x [R, ...] by integer index [N]: [N, ...], of x's type. */
export function gatherRows(x: Tensor, at: Tensor): Tensor {
  wantRows('gatherRows', x, at);
  const rest = x.shape.slice(1);
  const y = empty(x.device, [at.size, ...rest], x.dtype);
  kernel.gatherRows(x.device, at.storage, x.storage, y.storage, at.size, sizeOf(rest), x.shape[0]);
  return y;
}

/** The gradient of `gatherRows`: rows of g [N, ...] added up by index into [total, ...]. */
export function scatterAddRows(g: Tensor, at: Tensor, total: number): Tensor {
  wantFloat('scatterAddRows', g);
  const what = wantRows('scatterAddRows', g, at);
  if (at.size !== g.shape[0]) throw new Error(`${what}: an index for each row is wanted`);
  wantTotal(what, total);
  const rest = g.shape.slice(1);
  const y = empty(g.device, [total, ...rest]);
  kernel.scatterAddRows(g.device, at.storage, g.storage, y.storage, at.size, sizeOf(rest), total);
  return y;
}

/** @throws Error unless x has rows and `at` is of integers @returns what the operation is of, for messages */
function wantRows(op: string, x: Tensor, at: Tensor): string {
  const what = `${op} of [${x.shape}] by indices [${at.shape}]`;
  if (x.rank === 0) throw new Error(`${what}: a number has no rows`);
  wantIntegers(what, at);
  return what;
}

function wantTotal(what: string, total: number): void {
  const bad = notWhole(['total', total, 0]);
  if (bad) throw new Error(`${what}: ${bad}`);
}
