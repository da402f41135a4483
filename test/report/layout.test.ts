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
const three = labels.map((label, i) => madeRun({ label, seed: i, epochs: 30, sa: 0.9, ra: 0.5, density: i === 0 ? 1 : 0.2 }));

describe('the page in a browser', () => {
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
