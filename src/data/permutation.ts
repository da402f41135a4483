/**
 * The fixed permutation that takes validation rows out of sets stored class by class: `numpy.random.seed(10)`, then
 * `numpy.random.permutation(n)`, as in the reference implementation, so that the split of Tiny-ImageNet is the same.
 */

const N = 624;
const M = 397;

/** The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998), seeded by one 32-bit word. */
class MersenneTwister {
  private readonly state = new Uint32Array(N);
  private at = N;

  constructor(seed: number) {
    const { state } = this;
    state[0] = seed;
    for (let i = 1; i < N; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  }

  /** The next 32-bit word. */
  word(): number {
    if (this.at === N) this.renew();
    let y = this.state[this.at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  private renew(): void {
    const { state } = this;
    for (let i = 0; i < N; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % N] & 0x7fffffff);
      state[i] = state[(i + M) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.at = 0;
  }
}

/** The permutation of 0..n-1: Fisher-Yates from the end; a number up to i is the first word that fits after cutting to i's bits. */
export function fixedPermutation(n: number, seed = 10): Uint32Array {
  const random = new MersenneTwister(seed);
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const bits = 2 ** (32 - Math.clz32(i)) - 1;
    let j = (random.word() & bits) >>> 0;
    while (j > i) j = (random.word() & bits) >>> 0;
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
