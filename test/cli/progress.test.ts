/** Progress as bytes written: the live line of a terminal, the plain lines of a log, and tables. */
import { describe, expect, it } from 'vitest';
import { ProgressDisplay, progressLine } from '../../src/cli/progress.ts';
import { byteCount, duration, formatTable, percent, siCount } from '../../src/cli/table.ts';

/** A display on a recorded output, with a clock that is moved by hand. */
function recorded(options: { isTTY: boolean; columns?: number; quiet?: boolean }) {
  const written: string[] = [];
  const clock = { now: 0 };
  const out = { ...options, write: (text: string) => written.push(text) };
  const display = new ProgressDisplay(out, { quiet: options.quiet, now: () => clock.now });
  return { written, clock, display };
}

const erase = '\r\x1b[2K';

describe('on a terminal', () => {
  it('redraws one line at most ten times a second', () => {
    const { written, clock, display } = recorded({ isTTY: true });
    for (let i = 0; i < 1000; i++) {
      display.update({ label: 'epoch 1', done: i, total: 1000 });
      clock.now += 1;
    }
    expect(written.length).toBe(10);
    expect(written.every(text => text.startsWith(erase) && !text.includes('\n'))).toBe(true);
  });

  it('never writes past the width of the terminal', () => {
    const { written, display } = recorded({ isTTY: true, columns: 30 });
    display.update({ label: 'x'.repeat(100), done: 1, total: 2 });
    expect(written[0].slice(erase.length)).toHaveLength(29);
  });

  it('puts a notice above the live line and removes the line at the end', () => {
    const { written, display } = recorded({ isTTY: true });
    display.update({ label: 'a', done: 1 });
    display.note('hello');
    display.close();
    expect(written).toEqual([`${erase}a  1`, erase, 'hello\n', `${erase}a  1`, erase]);
  });
});

describe('in a log', () => {
  it('writes a plain line every five seconds', () => {
    const { written, clock, display } = recorded({ isTTY: false });
    for (let second = 0; second <= 12; second++) {
      clock.now = second * 1000;
      display.update({ label: 'epoch 1', done: second, total: 20, fields: { loss: '1.5' } });
    }
    expect(written).toEqual(['epoch 1   25.0 %  ETA 15s  loss 1.5\n', 'epoch 1   50.0 %  ETA 10s  loss 1.5\n']);
  });

  it('is silent when quiet, but for notices', () => {
    const { written, clock, display } = recorded({ isTTY: false, quiet: true });
    clock.now = 60_000;
    display.update({ label: 'a', done: 1 });
    display.note('important');
    expect(written).toEqual(['important\n']);
  });
});

it('estimates from the pace since the label began', () => {
  const { written, clock, display } = recorded({ isTTY: true });
  display.update({ label: 'resumed', done: 900, total: 1000 });
  clock.now = 1000;
  display.update({ label: 'resumed', done: 910, total: 1000 });
  clock.now = 2000;
  display.update({ label: 'next', done: 0, total: 10 });
  expect(written[0]).not.toContain('ETA');
  expect(written[1]).toContain('ETA 9s');
  expect(written[2]).not.toContain('ETA');
});

it('words a line', () => {
  const fields = { loss: '1.92', RA: '31.2 %' };
  const line = progressLine({ label: 'train', done: 50, total: 200, fields }, 185, 8);
  expect(line).toBe('train  [##------]   25.0 %  ETA 3m05s  loss 1.92  RA 31.2 %');
  expect(progressLine({ label: 'download', done: 7 }, undefined, 8)).toBe('download  7');
  expect(progressLine({ label: 'over', done: 3, total: 2 }, 0, 4)).toBe('over  [####]  100.0 %  ETA 0s');
});

describe('tables and figures', () => {
  it('align columns', () => {
    expect(
      formatTable(
        ['name', 'SA'],
        [
          ['a', '9.00 %'],
          ['longer', '10.00 %'],
        ],
      ),
    ).toBe(['name         SA', '------  -------', 'a        9.00 %', 'longer  10.00 %'].join('\n'));
    expect(formatTable(['empty'], [])).toBe('empty\n-----');
  });

  it('word numbers', () => {
    expect(percent(0.51623)).toBe('51.62 %');
    expect([200, 38_000, 2 ** 20, 184_758_000].map(byteCount)).toEqual(['0.2 KiB', '37.1 KiB', '1.0 MiB', '176.2 MiB']);
    expect([0, 999, 1000, 555422720, 3e30].map(siCount)).toEqual(['0', '999', '1.00 k', '555.42 M', '3000000000000.00 E']);
    expect([0, 59.4, 59.6, 3599, 7620].map(duration)).toEqual(['0s', '59s', '1m00s', '59m59s', '2h07m']);
  });
});
