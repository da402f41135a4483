/**
 * Scores of initial masks in float64, for a perceptron z = W2·relu(W1·x + b1) + b2 by loops, and for a PreActResNet-18 with its batch norms. Sources: SNIP
 * (Lee et al. 2019), GraSP (Wang et al. 2020), SynFlow (Tanaka et al. 2020).
 */
import { map, type Ref, ref, zip } from './array.ts';
import { norm } from './finite.ts';
import { crossEntropy } from './loss.ts';
import { preActResNet18, type State } from './model.ts';
import { globalTopK } from './sparse.ts';

/** W1 [H, IN], b1 [H], W2 [K, H], b2 [K]. */
export interface Perceptron {
  w1: Ref;
  b1: Ref;
  w2: Ref;
  b2: Ref;
}

/** Gradients by W1 and W2 of the mean cross-entropy of z/temperature, for images x [N, IN]. */
export function gradients({ w1, b1, w2, b2 }: Perceptron, x: Ref, labels: readonly number[], temperature: number): [Ref, Ref] {
  const [hidden, inputs] = w1.shape;
  const [classes] = w2.shape;
  const [d1, d2] = [ref(w1.shape), ref(w2.shape)];
  labels.forEach((label, n) => {
    const image = x.data.subarray(n * inputs, (n + 1) * inputs);
    const h = Array.from({ length: hidden }, (_, j) =>
      Math.max(
        0,
        image.reduce((s, v, i) => s + v * w1.data[j * inputs + i], b1.data[j]),
      ),
    );
    const z = Array.from(
      { length: classes },
      (_, k) => h.reduce((s, v, j) => s + v * w2.data[k * hidden + j], b2.data[k]) / temperature,
    );
    const sum = z.reduce((s, v) => s + Math.exp(v), 0);
    const dz = z.map((v, k) => (Math.exp(v) / sum - (k === label ? 1 : 0)) / (temperature * labels.length));
    h.forEach((v, j) => {
      let back = 0;
      for (let k = 0; k < classes; k++) {
        d2.data[k * hidden + j] += dz[k] * v;
        back += dz[k] * w2.data[k * hidden + j];
      }
      if (v > 0) for (let i = 0; i < inputs; i++) d1.data[j * inputs + i] += back * image[i];
    });
  });
  return [d1, d2];
}

/** |w·dL/dw|. */
export function snip(p: Perceptron, x: Ref, labels: readonly number[]): Ref[] {
  const [d1, d2] = gradients(p, x, labels, 1);
  return [zip(p.w1, d1, (w, g) => Math.abs(w * g)), zip(p.w2, d2, (w, g) => Math.abs(w * g))];
}

/** w·Hg, the product by a central difference of gradients along g. */
export function grasp(p: Perceptron, x: Ref, labels: readonly number[]): Ref[] {
  const [g1, g2] = gradients(p, x, labels, 200);
  const step = 1e-6 / norm([...g1.data, ...g2.data]);
  const at = (s: number) =>
    gradients({ ...p, w1: zip(p.w1, g1, (w, g) => w + s * g), w2: zip(p.w2, g2, (w, g) => w + s * g) }, x, labels, 200);
  const [ahead, behind] = [at(step), at(-step)];
  const product = [0, 1].map(l => zip(ahead[l], behind[l], (a, b) => (a - b) / (2 * step)));
  return [zip(p.w1, product[0], (w, h) => w * h), zip(p.w2, product[1], (w, h) => w * h)];
}

/** The masks after `steps` rounds at densities p^(k/steps): |w|·dR/d|w|, R the sum of the outputs of |W| and |b| for an input of ones. */
export function synflow(p: Perceptron, density: number, steps = 100): Ref[] {
  const [hidden, inputs] = p.w1.shape;
  const [classes] = p.w2.shape;
  let [w1, w2] = [map(p.w1, Math.abs), map(p.w2, Math.abs)];
  let masks = [map(w1, () => 1), map(w2, () => 1)];
  const count = w1.data.length + w2.data.length;
  for (let k = 1; k <= steps; k++) {
    const h = Array.from({ length: hidden }, (_, j) =>
      w1.data.subarray(j * inputs, (j + 1) * inputs).reduce((s, w) => s + w, Math.abs(p.b1.data[j])),
    );
    const out = Array.from({ length: hidden }, (_, j) =>
      Array.from({ length: classes }, (_, c) => w2.data[c * hidden + j]).reduce((s, w) => s + w, 0),
    );
    const s1 = ref(
      w1.shape,
      w1.data.map((w, i) => w * out[Math.floor(i / inputs)]),
    );
    const s2 = ref(
      w2.shape,
      w2.data.map((w, i) => w * h[i % hidden]),
    );
    const keep = count - Math.trunc((1 - density ** (k / steps)) * count);
    masks = globalTopK([s1, s2], keep);
    w1 = zip(w1, masks[0], (w, m) => w * m);
    w2 = zip(w2, masks[1], (w, m) => w * m);
  }
  return masks;
}

/** Of a PreActResNet-18: the weights that have scores, those of convolutions and of the linear layer. */
export const scored = (state: State) => Object.keys(state).filter(name => state[name].shape.length > 1);

/** Gradients by all scored weights of the mean cross-entropy of the logits over a temperature, with batch statistics. */
function lossGradients(state: State, x: Ref, labels: number[], temperature: number): State {
  const { logits, backward } = preActResNet18(state, x, true);
  const soft = map(logits, z => z / temperature);
  const byLogits = crossEntropy.backward(soft, labels, { reduction: 'mean' }, ref([], 1));
  return backward(map(byLogits, g => g / temperature)).parameters;
}

/** |w·dL/dw| of a PreActResNet-18. */
export function snipNetwork(state: State, x: Ref, labels: number[]): State {
  const g = lossGradients(state, x, labels, 1);
  return Object.fromEntries(scored(state).map(name => [name, zip(state[name], g[name], (w, d) => Math.abs(w * d))]));
}

/** w·Hg of a PreActResNet-18, the product by a central difference of gradients along g, both of the scored weights alone. */
export function graspNetwork(state: State, x: Ref, labels: number[]): State {
  const names = scored(state);
  const g = lossGradients(state, x, labels, 200);
  const step = 1e-6 / norm(names.flatMap(name => [...g[name].data]));
  const at = (s: number) => {
    const moved = names.map(name => [name, zip(state[name], g[name], (w, d) => w + s * d)] as const);
    return lossGradients({ ...state, ...Object.fromEntries(moved) }, x, labels, 200);
  };
  const [ahead, behind] = [at(step), at(-step)];
  const product = (name: string) => zip(ahead[name], behind[name], (a, b) => (a - b) / (2 * step));
  return Object.fromEntries(names.map(name => [name, zip(state[name], product(name), (w, h) => w * h)]));
}

/** Scores and masks of SynFlow for a PreActResNet-18 after `steps` rounds, for an image of ones, with running statistics, all of the state in absolute values. */
export function synflowNetwork(state: State, shape: readonly number[], density: number, steps: number) {
  const names = scored(state);
  const one = ref([1, ...shape], 1);
  let now: State = Object.fromEntries(Object.entries(state).map(([name, t]) => [name, map(t, Math.abs)]));
  const count = names.reduce((n, name) => n + state[name].data.length, 0);
  let scores: State = {};
  let masks: State = {};
  for (let k = 1; k <= steps; k++) {
    const { logits, backward } = preActResNet18(now, one, false);
    const g = backward(map(logits, () => 1)).parameters;
    scores = Object.fromEntries(names.map(name => [name, zip(now[name], g[name], (w, d) => Math.abs(w * d))]));
    const keep = count - Math.trunc((1 - density ** (k / steps)) * count);
    const chosen = globalTopK(
      names.map(name => scores[name]),
      keep,
    );
    masks = Object.fromEntries(names.map((name, i) => [name, chosen[i]]));
    now = { ...now, ...Object.fromEntries(names.map(name => [name, zip(now[name], masks[name], (w, m) => w * m)])) };
  }
  return { scores, masks };
}
