/** The page of runs in a real browser, at the widths of a phone, a tablet and a desk. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderReport } from '../../src/report/page.ts';
import { misplacedTexts, openBrowser, type Shown } from './browser.ts';
import { madeRun } from './runs.ts';

let browser: Shown;
beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(() => browser?.close());

const labels = ['Standard training', 'Flying Bird at 80 % sparsity, gradient growth, every 15 iterations', 'x'.repeat(80)];
const three = labels.map((label, i) => {
  const run = madeRun({ label, seed: i, epochs: 30, sa: 0.9, ra: 0.5, density: i === 0 ? 1 : 0.2, adaptive: i === 1 });
  return { ...run, distances: { epochs: [0, 1, 2], matrix: Array(3).fill([0, 0.5, 0.02]), threshold: 0.08, emerged: 2 } };
});

describe('the page in a browser', () => {
  it.each([1, 3])('has no text over another or outside of its figure, of %i runs', async count => {
    await browser.show(renderReport(three.toReversed().slice(0, count)).replaceAll('<details>', '<details open>'), 1280);
    expect(await browser.page.evaluate('document.querySelectorAll("svg").length')).toBeGreaterThan(10);
    expect(await browser.page.evaluate(`(${misplacedTexts})()`)).toEqual([]);
  });

  it.each([
    [390, 1],
    [390, 3],
    [768, 3],
    [1280, 3],
  ])('%i px wide with %i runs does not scroll sideways', async (width, count) => {
    await browser.show(renderReport(three.slice(0, count)), width);
    await browser.expectToFit(width);
  });

  it('keeps the names of rows in sight while a table is scrolled', async () => {
    await browser.show(renderReport(three), 390);
    const moved = await browser.page.evaluate(() => {
      const table = document.querySelector('.scroll')!;
      const name = [...table.querySelectorAll('th')].find(cell => cell.textContent === 'density')!;
      const before = name.getBoundingClientRect().left;
      table.scrollLeft = 40;
      return [table.scrollLeft, name.getBoundingClientRect().left - before];
    });
    expect(moved).toEqual([40, 0]);
  });
});
