/** The same code in a browser and in Node: the numbers agree. Both compute on SwiftShader. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium, TestPage } from './chromium.ts';
import * as here from './page.ts';

describe.runIf(hasChromium)('the engine in Chromium', () => {
  let page: TestPage;
  beforeAll(async () => {
    page = await TestPage.open('test/browser/page.ts');
  });
  afterAll(() => page?.close());

  it('gives the numbers of Node', async () => {
    const there = (await page.run('kernels')) as Record<string, number[]>;
    const expected = await here.kernels();
    expect(Object.keys(there)).toEqual(Object.keys(expected));
    for (const [name, numbers] of Object.entries(expected)) {
      expect(new Set(numbers).size, `${name} is not constant`).toBeGreaterThan(name === 'fill' ? 0 : 10);
      expect(there[name].length).toBe(numbers.length);
      const worst = Math.max(...numbers.map((value, i) => Math.abs(value - there[name][i])));
      expect(worst, name).toBeLessThan(1e-6);
    }
  });

  it('trains and attacks with the numbers of Node', async () => {
    const there = (await page.run('trainingStep')) as Record<string, number[]>;
    const expected = await here.trainingStep();
    expect(Object.keys(there)).toEqual(['losses', 'adv', 'weights', 'mask']);
    for (const [name, numbers] of Object.entries(expected)) {
      expect(new Set(numbers).size, `${name} is not constant`).toBeGreaterThan(1);
      const worst = Math.max(...numbers.map((value, i) => Math.abs(value - there[name][i])));
      expect(worst, name).toBeLessThan(1e-4);
    }
  });

  it('refuses a kernel that does not compile with the same error', async () => {
    const refusal = /^ValidationError: kernel 'broken' does not compile: /;
    expect(await page.run('brokenKernel')).toMatch(refusal);
    expect(await here.brokenKernel()).toMatch(refusal);
  });

  it('measures kernels and keeps them in local storage', async () => {
    const { place, measured, known, damaged } = (await page.run('tuning')) as Record<string, string[]>;
    expect(place).toBe("local storage 'sparrow.kernels'");
    expect(measured).toEqual([expect.stringMatching(/^conv forward \[1,/)]);
    expect(known).toEqual(measured);
    expect(damaged).toMatch(/^local storage 'sparrow.kernels': is not valid JSON .*; kernels run with their defaults/);
  });

  it('passes an error of the page on', async () => {
    await expect(page.run('nothingOfThatName')).rejects.toThrow('is not a function');
  });
});
