/** Matrix products. */
import { at, indexOf, indices, type Ref, ref } from './array.ts';
import { broadcastShape, broadcastTo, unbroadcast } from './elementwise.ts';

export interface MatmulOptions {
  transposeA?: boolean;
  transposeB?: boolean;
}

/** The last two axes exchanged. */
export function transpose(a: Ref): Ref {
  const [rows, columns] = a.shape.slice(-2);
  const shape = [...a.shape.slice(0, -2), columns, rows];
  return ref(
    shape,
    Array.from(indices(shape), index => at(a, ...index.slice(0, -2), index[index.length - 1], index[index.length - 2])),
  );
}

/** C[..., i, j] = sum over k of A[..., i, k]·B[..., k, j], batch axes broadcast. */
function product(a: Ref, b: Ref): Ref {
  const [rows, inner] = a.shape.slice(-2);
  const [innerB, columns] = b.shape.slice(-2);
  if (inner !== innerB) throw new RangeError(`inner extents ${inner} and ${innerB} differ`);
  const batch = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const left = broadcastTo(a, [...batch, rows, inner]);
  const right = broadcastTo(b, [...batch, inner, columns]);
  const c = ref([...batch, rows, columns]);
  for (const index of indices(c.shape)) {
    const [i, j] = index.slice(-2);
    const n = index.slice(0, -2);
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += at(left, ...n, i, k) * at(right, ...n, k, j);
    c.data[indexOf(c.shape, index)] = sum;
  }
  return c;
}

/**
 * op(A)·op(B), where op transposes the last two axes if asked. A is [..., M, K] and B [..., K, N] after op; batch axes broadcast.
 * With C = A·B: dA = dC·Bᵀ and dB = Aᵀ·dC.
 */
export const matmul = {
  forward(a: Ref, b: Ref, options: MatmulOptions = {}): Ref {
    return product(options.transposeA ? transpose(a) : a, options.transposeB ? transpose(b) : b);
  },
  backward(a: Ref, b: Ref, options: MatmulOptions, gradOutput: Ref): [Ref, Ref] {
    const left = options.transposeA ? transpose(a) : a;
    const right = options.transposeB ? transpose(b) : b;
    const dLeft = unbroadcast(product(gradOutput, transpose(right)), left.shape);
    const dRight = unbroadcast(product(transpose(left), gradOutput), right.shape);
    return [options.transposeA ? transpose(dLeft) : dLeft, options.transposeB ? transpose(dRight) : dRight];
  },
};
