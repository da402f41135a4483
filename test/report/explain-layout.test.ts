/** The page of an explanation in a real browser. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { renderExplanation } from '../../src/report/explain.ts';
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
