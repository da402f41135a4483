/**
 * `SPARROW_TEST_TABLE=FILE npm test`, then `node scripts/run.js scripts/test-table.ts FILE`: prints what the property tests measured, a row
 * an operation: random cases, and the worst relative L2 error against float64 of the operation, its gradient, and its gradient's gradient.
 */
import { readFileSync } from 'node:fs';

interface Line {
  operation: string;
  order: 'forward' | 'gradient' | 'second';
  cases: number;
  error: number;
}

const file = process.argv[2];
if (!file) {
  process.stderr.write(
    'usage: node scripts/run.js scripts/test-table.ts FILE (written by the tests under SPARROW_TEST_TABLE=FILE)\n',
  );
  process.exit(2);
}

const rows = new Map<string, Partial<Record<Line['order'], { cases: number; error: number }>>>();
for (const text of readFileSync(file, 'utf8').trim().split('\n')) {
  const { operation, order, cases, error } = JSON.parse(text) as Line;
  const row = rows.get(operation) ?? {};
  const before = row[order] ?? { cases: 0, error: 0 };
  row[order] = { cases: before.cases + cases, error: Math.max(before.error, error) };
  rows.set(operation, row);
}

const number = (entry?: { error: number }) => (entry ? (entry.error === 0 ? 'exact' : entry.error.toExponential(1)) : '');
const table = [...rows].sort().map(([operation, { forward, gradient, second }]) => {
  const cases = Math.max(forward?.cases ?? 0, gradient?.cases ?? 0, second?.cases ?? 0);
  return [operation, String(cases), number(forward), number(gradient), number(second)];
});
const head = ['operation', 'cases', 'forward', 'gradient', 'second'];
const widths = head.map((_, i) => Math.max(...[head, ...table].map(row => row[i].length)));
for (const row of [head, widths.map(w => '-'.repeat(w)), ...table]) {
  console.log(
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd(),
  );
}
