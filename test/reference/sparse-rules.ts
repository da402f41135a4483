/**
 * The rules of mask updates beside those of Flying Bird, for a whole network: death by sign (SET, Mocanu et al. 2018), by threshold and by
 * connection sensitivity (Lee et al. 2019), growth by neuron and
 * redistribution over layers (Dettmers and Zettlemoyer 2019). Plain loops over arrays.
 */
import { type Ref, ref } from './array.ts';

export interface Layer {
  weight: Ref;
  velocity: Ref;
  mask: Ref;
  /** What growth by neuron ranks. */
  score: Ref;
  /** What connection sensitivity and growth by gradient rank by. */
  gradient: Ref;
}

export interface Rules {
  r: number;
  death: 'magnitude' | 'SET' | 'threshold' | 'CS_death';
  threshold: number;
  growth: 'gradient' | 'momentum_neuron';
  redistribution: 'none' | 'momentum' | 'magnitude' | 'nonzeros';
  /** The decisions of Flying Bird+: ceil(pruneRatio·base) more go, or growth is 1 + growthRatio times, rounded down. */
  prune: boolean;
  grow: boolean;
  pruneRatio: number;
  growthRatio: number;
}

const activeOf = (mask: Ref) => [...mask.data.keys()].filter(i => mask.data[i] === 1);
const total = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** What a layer drops if nothing is decided, before it is rounded up: a part of its weights, or those below the threshold but for one. */
function amountOf({ weight, mask }: Layer, { r, death, threshold }: Rules): number {
  const active = activeOf(mask);
  if (death !== 'threshold') return r * active.length;
  const below = active.filter(i => Math.abs(weight.data[i]) <= threshold).length;
  return below === active.length && below > 0 ? below - 1 : below;
}

/** The active weights that go: the first of `count` by |w|, for CS_death by |w·g|; for SET of each sign its share. */
export function dying(layer: Layer, rules: Rules): number[] {
  const { weight, mask, gradient } = layer;
  const { death } = rules;
  const active = activeOf(mask);
  const size = (i: number) => Math.abs(weight.data[i]);
  const first = (among: number[], n: number) => among.sort((a, b) => size(a) - size(b) || a - b).slice(0, n);
  const amount = amountOf(layer, rules);
  const wanted = Math.min(active.length, Math.ceil(amount) + (rules.prune ? Math.ceil(rules.pruneRatio * amount) : 0));
  if (death === 'magnitude' || death === 'threshold') return first(active, wanted);
  if (death === 'CS_death') {
    const sensitivity = (i: number) => Math.abs(weight.data[i] * gradient.data[i]);
    return active.sort((a, b) => sensitivity(a) - sensitivity(b) || a - b).slice(0, wanted);
  }
  const plus = active.filter(i => weight.data[i] > 0);
  const minus = active.filter(i => weight.data[i] <= 0);
  const fromPlus = Math.round((wanted * plus.length) / active.length);
  return [...first(plus, fromPlus), ...first(minus, wanted - fromPlus)];
}

/** Whole numbers in proportion: full shares first, then whole parts, then the largest remainders. */
export function shareOut(amount: number, shares: number[], room: number[]): number[] {
  if (amount >= total(room)) return [...room];
  const weights = total(shares) > 0 ? shares : shares.map(() => 1);
  const quota = weights.map(w => (amount * w) / total(weights));
  const over = quota.map((q, i) => q >= room[i]);
  if (over.some(Boolean)) {
    const open = quota.flatMap((_, i) => (over[i] ? [] : [i]));
    const taken = total(room.filter((_, i) => over[i]));
    const rest = shareOut(
      amount - taken,
      open.map(i => shares[i]),
      open.map(i => room[i]),
    );
    return room.map((n, i) => (over[i] ? n : rest[open.indexOf(i)]));
  }
  const whole = quota.map(Math.floor);
  const order = [...quota.keys()].sort((a, b) => quota[b] - whole[b] - (quota[a] - whole[a]) || a - b);
  for (const i of order.slice(0, amount - total(whole))) whole[i]++;
  return whole;
}

/** The largest |score| of the free places, of the layer or of each neuron for its share. */
export function growing(score: Ref, kept: Ref, count: number, growth: Rules['growth']): number[] {
  const best = (among: number[], n: number) =>
    among.sort((a, b) => Math.abs(score.data[b]) - Math.abs(score.data[a]) || a - b).slice(0, n);
  const free = [...kept.data.keys()].filter(i => kept.data[i] === 0);
  if (growth === 'gradient') return best(free, count);
  const neurons = score.shape[0];
  const width = score.data.length / neurons;
  const places = Array.from({ length: neurons }, (_, n) => free.filter(i => Math.floor(i / width) === n));
  const mean = places.map((_, n) => total(Array.from(score.data.slice(n * width, (n + 1) * width), Math.abs)) / width);
  const counts = shareOut(
    count,
    mean,
    places.map(p => p.length),
  );
  return places.flatMap((p, n) => best(p, counts[n]));
}

/** One update of a network: the new masks. Dense layers are left alone. */
export function updateNetwork(layers: Layer[], rules: Rules): Ref[] {
  const moving = layers.filter(l => activeOf(l.mask).length < l.mask.data.length);
  const gone = moving.map(l => dying(l, rules));
  const nnz = moving.map(l => activeOf(l.mask).length);
  let counts = moving.map((l, i) => {
    const back = Math.ceil(amountOf(l, rules));
    const wanted = rules.grow ? Math.floor(back * (1 + rules.growthRatio)) : back;
    return Math.min(wanted, l.mask.data.length - nnz[i] + gone[i].length);
  });
  if (rules.redistribution !== 'none') {
    const mean = (values: Ref, n: number) => (n > 0 ? total(Array.from(values.data, Math.abs)) / n : 0);
    const share = {
      momentum: (l: Layer, n: number) => mean(l.velocity, n),
      magnitude: (l: Layer, n: number) => mean(l.weight, n),
      nonzeros: (_: Layer, n: number) => n,
    };
    const by = share[rules.redistribution];
    // who lost everything gets one back before the rest is shared; nobody becomes dense
    const saved = moving.map((_, i) => (nnz[i] > 0 && gone[i].length === nnz[i] ? 1 : 0));
    const rest = shareOut(
      total(counts) - total(saved),
      moving.map((l, i) => by(l, nnz[i])),
      moving.map((l, i) => l.mask.data.length - nnz[i] + gone[i].length - 1 - saved[i]),
    );
    counts = rest.map((n, i) => n + saved[i]);
  }
  return layers.map(layer => {
    const i = moving.indexOf(layer);
    if (i < 0) return layer.mask;
    const next = ref(layer.mask.shape, layer.mask.data);
    for (const at of gone[i]) next.data[at] = 0;
    for (const at of growing(rules.growth === 'gradient' ? layer.gradient : layer.score, next, counts[i], rules.growth))
      next.data[at] = 1;
    return next;
  });
}
