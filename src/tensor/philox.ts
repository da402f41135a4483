/**
 * Philox 4x32-10, the counter-based random generator of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011).
 *
 * A block of four 32-bit words is a pure function of a 64-bit key and a 128-bit counter, so any element of any draw can be computed
 * alone, in any order, on CPU or GPU, with the same bits. `wgsl/random.wgsl` is the same function on the device.
 *
 * Convention of this project: key = the seed (low, high word); counter = (block index, draw number low, draw number high, stream).
 * Element i of a draw is word i % 4 of block floor(i / 4). Streams separate purposes (see `Stream`), so that adding a draw to one
 * never moves another.
 */

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** What random numbers are drawn for; the last counter word. */
export const Stream = { init: 0, attack: 1, shuffle: 2, augment: 3, mask: 4, dropout: 5, data: 6, user: 7 } as const;
export type Stream = (typeof Stream)[keyof typeof Stream];

/** High 32 bits of the 64-bit product of two 32-bit words. */
function mulHigh(a: number, b: number): number {
  const al = a & 0xffff;
  const ah = a >>> 16;
  const bl = b & 0xffff;
  const bh = b >>> 16;
  const mid = ah * bl + ((al * bl) >>> 16);
  const low = al * bh + (mid & 0xffff);
  return (ah * bh + Math.floor(mid / 0x10000) + Math.floor(low / 0x10000)) >>> 0;
}

/** One block: four 32-bit words for a counter of four words and a key of two. */
export function philox(c0: number, c1: number, c2: number, c3: number, k0: number, k1: number): [number, number, number, number] {
  for (let round = 0; round < 10; round++) {
    const h0 = mulHigh(M0, c0);
    const l0 = Math.imul(M0, c0) >>> 0;
    const h1 = mulHigh(M1, c2);
    const l1 = Math.imul(M1, c2) >>> 0;
    c0 = (h1 ^ c1 ^ k0) >>> 0;
    c2 = (h0 ^ c3 ^ k1) >>> 0;
    c1 = l1;
    c3 = l0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The state of a generator: what a checkpoint stores. */
export interface RandomState {
  seed: number;
  stream: number;
  draw: number;
}

/**
 * A stream of draws. Each call takes the next draw number, so results depend only on (seed, stream, order of calls) and never on
 * how many elements an earlier draw had.
 */
export class Random {
  readonly seed: number;
  readonly stream: number;
  draw: number;

  /** @param seed a non-negative integer below 2^53 @param stream what it is for */
  constructor(seed: number, stream: Stream | number = Stream.user, draw = 0) {
    this.seed = seed;
    this.stream = stream;
    this.draw = draw;
  }

  static from(state: RandomState): Random {
    return new Random(state.seed, state.stream, state.draw);
  }

  state(): RandomState {
    return { seed: this.seed, stream: this.stream, draw: this.draw };
  }

  /** Key words and counter words 1..3 of the next draw; advances the draw number. Used by the device kernels. */
  next(): { k0: number; k1: number; c1: number; c2: number; c3: number } {
    const d = this.draw++;
    return {
      k0: this.seed >>> 0,
      k1: Math.floor(this.seed / 2 ** 32) >>> 0,
      c1: d >>> 0,
      c2: Math.floor(d / 2 ** 32) >>> 0,
      c3: this.stream >>> 0,
    };
  }

  /** The next draw: n 32-bit words. */
  words(n: number): Uint32Array {
    const { k0, k1, c1, c2, c3 } = this.next();
    const out = new Uint32Array(n);
    for (let i = 0; i < n; i += 4) {
      const block = philox(i / 4, c1, c2, c3, k0, k1);
      for (let j = 0; j < 4 && i + j < n; j++) out[i + j] = block[j];
    }
    return out;
  }

  /** The next draw: n float32 in [0, 1), each (word >> 8) / 2^24, exactly representable. */
  uniform(n: number): Float32Array {
    const words = this.words(n);
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = (words[i] >>> 8) / 16777216;
    return out;
  }

  /** The next draw: a permutation of 0..n-1, the order of n random words (ties by index). */
  permutation(n: number): Uint32Array {
    const words = this.words(n);
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    return order.sort((a, b) => words[a] - words[b] || a - b);
  }
}
