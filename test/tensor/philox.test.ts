import { describe, expect, it } from 'vitest';
import { philox, Random } from '../../src/tensor/philox.ts';

// Known answers published with the reference implementation (Random123, kat_vectors, philox4x32 10 rounds).
const known: [number[], number[], number[]][] = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [Array(4).fill(0xffffffff), Array(2).fill(0xffffffff), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
];

describe('philox 4x32-10', () => {
  it.each(known)('known answer %#', (counter, key, expected) => {
    const [c0, c1, c2, c3] = counter;
    expect(philox(c0, c1, c2, c3, key[0], key[1])).toEqual(expected);
  });

  it('a prefix of a longer draw equals the shorter draw', () => {
    const long = new Random(7).words(13);
    expect(new Random(7).words(6)).toEqual(long.subarray(0, 6));
  });

  it('a restored state continues the stream', () => {
    const a = new Random(2 ** 40 + 3, 2);
    a.words(5);
    const b = Random.from(a.state());
    expect(b.words(9)).toEqual(a.words(9));
  });

  it('permutation holds each index once', () => {
    expect([...new Random(1).permutation(1000)].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  });
});
