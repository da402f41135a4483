/** Pages in a real browser: they must fit every width without sideways scrolling, fetch nothing, and have no text over another. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import chromium from '@sparticuz/chromium';
import { chromium as launcher, type Page } from 'playwright-core';
import { expect } from 'vitest';

export interface Shown {
  page: Page;
  /** Shows a page at a width. */
  show(html: string, width: number): Promise<void>;
  /** Checks that the page shown fits its width, that its pictures are there, and that it fetched nothing. */
  expectToFit(width: number): Promise<void>;
  close(): Promise<void>;
}

/** Starts a browser; to be closed. */
export async function openBrowser(): Promise<Shown> {
  const folder = mkdtempSync(join(tmpdir(), 'sparrow-layout-'));
  const executablePath = await chromium.executablePath();
  const browser = await launcher.launch({ executablePath, args: [...chromium.args, '--no-sandbox'], headless: true });
  const page = await browser.newPage();
  const requests: string[] = [];
  page.on('request', request => requests.push(request.url()));
  return {
    page,
    async show(html, width) {
      const file = join(folder, 'page.html');
      writeFileSync(file, html);
      await page.setViewportSize({ width, height: 900 });
      await page.goto(pathToFileURL(file).href);
    },
    async expectToFit(width) {
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
      expect(await page.evaluate(() => [...document.images].filter(image => image.naturalWidth === 0).length)).toBe(0);
      expect(requests.filter(url => !url.startsWith('file:') && !url.startsWith('data:'))).toEqual([]);
    },
    async close() {
      await browser.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Runs in the page: texts of one figure that lie over each other or outside of it, as `figure: text`. */
export function misplacedTexts(): string[] {
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
