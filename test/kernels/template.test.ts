/** The template language of the kernel files. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evaluate, expand } from '../../src/kernels/template.ts';

describe('evaluate', () => {
  // arithmetic trees over the integers, written out with all parentheses, with their values
  type Tree = { text: string; value: number };
  const floor = (a: number, b: number) => Math.floor(a / b);
  const operators: Record<string, (a: number, b: number) => number> = {
    '+': (a, b) => a + b,
    '-': (a, b) => a - b,
    '*': (a, b) => a * b,
    '/': floor,
    '%': (a, b) => a - b * floor(a, b),
    '==': (a, b) => Number(a === b),
    '!=': (a, b) => Number(a !== b),
    '<': (a, b) => Number(a < b),
    '<=': (a, b) => Number(a <= b),
    '>': (a, b) => Number(a > b),
    '>=': (a, b) => Number(a >= b),
    '&&': (a, b) => Number(a !== 0 && b !== 0),
    '||': (a, b) => Number(a !== 0 || b !== 0),
  };
  const { tree } = fc.letrec<{ tree: Tree }>(tie => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      fc.integer({ min: -9, max: 9 }).map(value => ({ text: String(value), value })),
      fc
        .tuple(tie('tree'), fc.constantFrom(...Object.keys(operators)), tie('tree'))
        .filter(([, op, b]) => b.value !== 0 || (op !== '/' && op !== '%'))
        .map(([a, op, b]) => ({ text: `(${a.text}) ${op} (${b.text})`, value: operators[op](a.value, b.value) })),
    ),
  }));
  const same = (a: number) => a + 0; // -0 is 0

  it('agrees with the arithmetic', () => {
    fc.assert(
      fc.property(tree, ({ text, value }) => {
        expect(same(Number(evaluate(text, {})))).toBe(same(value));
      }),
    );
  });

  it.each([
    ['1+2*3', 7],
    ['2*3+1', 7],
    ['10-2-3', 5],
    ['-7/4', -2],
    ['-7%4', 1],
    ['1+1 == 2 && 3 < 2', 0],
    ['0 && 0 || 1', 1],
    ['A*B[1]-B[A-2]', 13],
    ['NAME', 'text'],
    ['-A', -2],
  ])('%s', (text, value) => expect(evaluate(text, { A: 2, B: [1, 7], NAME: 'text' })).toBe(value));

  it.each([
    ['1 +', 'ends too early'],
    ['(1', "')' is missing"],
    ['X', "'X' is not defined"],
    ['B[9]', 'no element 9'],
    ['1 2', "'2' is not understood"],
    ['!1', "'!' is not understood"],
    ['NAME + 1', 'no number'],
  ])('refuses %s', (text, message) => expect(() => evaluate(text, { B: [1], NAME: 'text' })).toThrow(message));
});

describe('expand', () => {
  const lines = (...text: string[]) => text.join('\n');

  it('repeats, nests, and counts from any bounds', () => {
    const text = lines('//% for i in 1..N', '//% for j in 0..i', 'x$(i)_$(j*2)', '//% end', '//% end', 'tail');
    expect(expand(text, { N: 3 })).toBe(lines('x1_0', 'x2_0', 'x2_2', 'tail'));
    expect(expand(text, { N: 1 })).toBe('tail');
  });

  it('keeps one branch, inside other branches too', () => {
    const text = lines('//% if A', 'a', '//% if B', 'ab', '//% else', 'a-', '//% end', '//% else', '-', '//% end');
    expect(expand(text, { A: 1, B: 1 })).toBe(lines('a', 'ab'));
    expect(expand(text, { A: 1, B: 0 })).toBe(lines('a', 'a-'));
    expect(expand(text, { A: 0, B: 1 })).toBe('-');
  });

  it('inserts text, also twice in a line and around parentheses', () => {
    expect(expand('f($(E)); g[$((1+2)*2)]', { E: 'max(a, b)' })).toBe('f(max(a, b)); g[6]');
  });

  it.each([
    [lines('ok', 'x$(Y)'), 'k.wgsl:2'],
    [lines('//% if A', 'x'), 'has no end'],
    ['//% while A', "unknown directive 'while'"],
    ['x$(1', "'$(' is not closed"],
  ])('names the line of an error: %s', (text, message) => expect(() => expand(text, { A: 1 }, 'k')).toThrow(message));
});
