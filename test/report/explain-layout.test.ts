/** The page of an explanation in a real browser: it must fit every width without sideways scrolling, and show every picture. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import chromium from '@sparticuz/chromium';
import { type Browser, chromium as launcher, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { renderExplanation } from '../../src/report/explain.ts';
import { madeExplanation } from './explanations.ts';

let folder: string;
let browser: Browser;
let page: Page;
const requests: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sparrow-explain-layout-'));
  const args = [...chromium.args, '--no-sandbox'];
  browser = await launcher.launch({ executablePath: await chromium.executablePath(), args, headless: true });
  page = await browser.newPage();
  page.on('request', request => requests.push(request.url()));
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

it.each([390, 768, 1280])('%i px wide', async width => {
  const file = join(folder, 'explain.html');
  const made = madeExplanation(1, 5);
  const checkpoint = `runs/${'a-long-name-'.repeat(12)}/best-ra.safetensors`;
  writeFileSync(file, renderExplanation({ ...made, about: { ...made.about, checkpoint } }));
  await page.setViewportSize({ width, height: 900 });
  await page.goto(pathToFileURL(file).href);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
  expect(await page.evaluate(() => [...document.images].filter(image => image.naturalWidth === 0).length)).toBe(0);
  expect(requests.filter(url => !url.startsWith('file:') && !url.startsWith('data:'))).toEqual([]);
});
