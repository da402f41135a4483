/** The page and the figures of an explanation in a real browser. */
import { decode } from 'fast-png';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { renderExplanation } from '../../src/report/explain.ts';
import { imageFigures } from '../../src/report/explainImages.ts';
import { standAlone } from '../../src/report/figureFiles.ts';
import { rasterise } from '../../src/report/rasterise.ts';
import { misplacedTexts, openBrowser, type Shown } from './browser.ts';
import { madeExplanation } from './explanations.ts';

let browser: Shown;
beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(() => browser?.close());

const made = madeExplanation(1, 5);

it.each([390, 768, 1280])('fits %i px', async width => {
  const checkpoint = `runs/${'a-long-name-'.repeat(12)}/best-ra.safetensors`;
  await browser.show(renderExplanation({ ...made, about: { ...made.about, checkpoint } }), width);
  await browser.expectToFit(width);
});

it.each([
  ['losses of one size', (loss: number) => loss],
  ['losses from 0.00005 to 15', (loss: number) => 5e-5 * (15 / 5e-5) ** (loss / 4)],
])('has no text over another or outside of its figure: %s', async (_, spread) => {
  const around = { ...made.around!, loss: made.around!.loss.map(spread) };
  await browser.show(renderExplanation({ ...made, around }), 1280);
  expect(await browser.page.evaluate(`(${misplacedTexts})()`)).toEqual([]);
});

it('writes long names of classes in full, within the figures', async () => {
  const names = made.classes.map((_, i) => `Chesapeake Bay retriever, or Labrador number ${i}`);
  const named = { ...made, classes: names };
  const cards = imageFigures(named).join('');
  await browser.show(`${renderExplanation(named)}<div style="width: 400px">${cards}</div>`, 1280);
  expect(await browser.page.evaluate(`(${misplacedTexts})()`)).toEqual([]);
  expect(cards).toContain(`: ${names[made.clean.predicted[0]]}</text>`);
});

it('pixels of an image are sharp in its figure, as SVG and as PNG', async () => {
  const svg = standAlone(imageFigures(made)[0]);
  await browser.show(`<body style="margin: 0">${svg}`, 450);
  for (const [png, scale] of [
    [await browser.page.screenshot(), 1],
    [await rasterise(svg), 2],
  ] as const) {
    const { width, channels, data } = decode(png);
    const colours = Array.from({ length: (124 * scale) ** 2 }, (_, i) => {
      const [x, y] = [10 * scale + (i % (124 * scale)), 38 * scale + Math.floor(i / (124 * scale))];
      return data.subarray((y * width + x) * channels, (y * width + x) * channels + 3).join();
    });
    expect(new Set(colours).size).toBe(30); // of 5x6 pixels
  }
});
