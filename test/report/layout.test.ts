/** The page in a real browser: it must fit every width without sideways scrolling and fetch nothing. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import chromium from '@sparticuz/chromium';
import { type Browser, chromium as launcher, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderReport } from '../../src/report/page.ts';
import { madeRun } from './runs.ts';

let folder: string;
let browser: Browser;
let page: Page;
const requests: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sparrow-layout-'));
  browser = await launcher.launch({
    executablePath: await chromium.executablePath(),
    args: [...chromium.args, '--no-sandbox'],
    headless: true,
  });
  page = await browser.newPage();
  page.on('request', request => requests.push(request.url()));
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

const labels = ['Standard training', 'Flying Bird at 80 % sparsity, gradient growth, every 15 iterations', 'x'.repeat(80)];
const three = labels.map((label, i) => {
  const run = madeRun({ label, seed: i, epochs: 30, sa: 0.9, ra: 0.5, density: i === 0 ? 1 : 0.2, adaptive: i === 1 });
  return { ...run, distances: { epochs: [0, 1, 2], matrix: Array(3).fill([0, 0.5, 0.02]), threshold: 0.08, emerged: 2 } };
});

/** Runs in the page: texts of one figure that lie over each other or outside of it, as `figure: text`. */
function misplacedTexts(): string[] {
  const overlap = (a: DOMRect, b: DOMRect): boolean =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  return [...document.querySelectorAll('svg')].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    const title = svg.querySelector('title')?.textContent;
    const texts = [...svg.querySelectorAll('text')].map(text => ({
      text: (text.firstChild?.textContent ?? '').trim(),
      box: text.getBoundingClientRect(),
    }));
    const wrong = texts.filter(({ box }, i) => {
      const outside =
        box.left < frame.left - 3 || box.right > frame.right + 3 || box.top < frame.top - 3 || box.bottom > frame.bottom + 3;
      return outside || texts.slice(0, i).some(other => overlap(box, other.box));
    });
    return wrong.map(({ text }) => `${title}: ${text}`);
  });
}

describe('the page in a browser', () => {
  it.each([1, 3])('has no text over another or outside of its figure, of %i runs', async count => {
    const file = join(folder, `texts-${count}.html`);
    writeFileSync(file, renderReport(three.toReversed().slice(0, count)).replaceAll('<details>', '<details open>'));
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.goto(pathToFileURL(file).href);
    expect(await page.evaluate('document.querySelectorAll("svg").length')).toBeGreaterThan(10);
    expect(await page.evaluate(`(${misplacedTexts})()`)).toEqual([]);
  });

  it.each([
    [390, 1],
    [390, 3],
    [768, 3],
    [1280, 3],
  ])('%i px wide with %i runs does not scroll sideways', async (width, count) => {
    const file = join(folder, `${width}-${count}.html`);
    writeFileSync(file, renderReport(three.slice(0, count)));
    await page.setViewportSize({ width, height: 900 });
    await page.goto(pathToFileURL(file).href);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    expect(await page.evaluate(() => [...document.images].filter(image => image.naturalWidth === 0).length)).toBe(0);
    expect(requests.filter(url => !url.startsWith('file:') && !url.startsWith('data:'))).toEqual([]);
  });
});
