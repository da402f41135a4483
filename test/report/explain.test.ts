/** The page of an explanation, its figures and its numbers, of made explanations. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/data/files.ts';
import { renderExplanation, writeExplanation } from '../../src/report/explain.ts';
import { heat } from '../../src/report/explainColours.ts';
import { contour, contourLevels } from '../../src/report/explainContours.ts';
import { imageFigures } from '../../src/report/explainImages.ts';
import { summariseExplanation } from '../../src/report/explainSummary.ts';
import { classFigure } from '../../src/report/explainSurface.ts';
import type { Figure } from '../../src/report/figure.ts';
import type { Explanation } from '../../src/train/explain/explanation.ts';
import { axis, grid, madeExplanation as made } from './explanations.ts';
import { attribute, hasClass, parsePage, textOf } from './html.ts';

const sectionIds = (page: string) =>
  parsePage(page)
    .elements.filter(({ tagName }) => tagName === 'section')
    .map(section => attribute(section, 'id'));

describe('the page', () => {
  const page = renderExplanation(made());
  const { elements, errors } = parsePage(page);

  it('has every part, is well-formed, and needs nothing from outside', () => {
    expect(errors).toEqual([]);
    expect(sectionIds(page)).toEqual(['images', 'around', 'weights', 'settings']);
    const used = elements.flatMap(element => ['src', 'href', 'srcset'].map(name => attribute(element, name) ?? ''));
    expect(used.filter(uri => uri !== '' && !uri.startsWith('data:image/png;base64,'))).toEqual([]);
    expect(page).not.toMatch(/<script|<link|@import|url\(/);
    const facts = textOf(elements.find(element => hasClass(element, 'facts-line'))!).replaceAll('\u00A0', ' ');
    expect(facts).toBe('runs/<fb>/best-ra.safetensors · 3 images of test · pgd-20, eps 8/255 · SA 66.67 %, RA 33.33 %');
  });

  it('shows six pictures an image, described in words, and right and wrong answers by sign and word', () => {
    const pictures = elements.filter(({ tagName }) => tagName === 'img');
    expect(pictures).toHaveLength(18);
    expect(pictures.filter(picture => !attribute(picture, 'alt'))).toEqual([]);
    const { labels, clean, adv, classes } = made();
    const expected = [...labels].flatMap((label, i) =>
      [clean, adv].map(({ predicted }) => {
        const right = predicted[i] === label;
        return `${right ? '✓' : '✗'} ${right ? 'right' : 'wrong'}: ${classes[predicted[i]]}`;
      }),
    );
    expect(elements.filter(element => hasClass(element, 'verdict')).map(textOf)).toEqual(expected);
  });

  it('describes its figures, with axes that have names and units', () => {
    const figures = elements.filter(({ tagName }) => tagName === 'svg').map(textOf);
    expect(figures).toHaveLength(6);
    for (const figure of figures.slice(0, 4)) expect(figure).toMatch(/adversarial direction \(eps\).*random direction \(eps\)/);
    for (const figure of figures.slice(4)) expect(figure).toMatch(/first direction \(filter lengths\).*cross-entropy \(nats\)/);
  });

  it('leaves out what was not computed', () => {
    const { around, weights, ...rest } = made();
    const { cam, ...clean } = rest.clean;
    const bare = renderExplanation({ ...rest, clean });
    expect(sectionIds(bare)).toEqual(['images', 'settings']);
    expect(textOf(parsePage(bare).elements.find(({ tagName }) => tagName === 'main')!)).not.toMatch(/Grad-CAM: where/);
  });

  it('shows a hundred images at most, and says so', () => {
    const many = renderExplanation(made(2, 103));
    expect(parsePage(many).elements.filter(element => hasClass(element, 'truth'))).toHaveLength(100);
    expect(many).toContain('The first 100 of 103 images.');
  });

  it('draws any losses, also those past what a number holds, and flat ones', () => {
    const values = fc.float({ noDefaultInfinity: false }).map(Math.abs);
    const loss = fc.array(fc.oneof(values, fc.constant(1)), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(loss, loss, fc.constantFrom('linf' as const, 'l2' as const), (a, b, norm) => {
        const base = made();
        const filled = (of: Float32Array, from: number[]) => of.map((_, i) => from[i % from.length]);
        const wild = renderExplanation({
          ...base,
          about: { ...base.about, norm },
          around: { ...base.around!, loss: filled(base.around!.loss, a) },
          weights: { ...base.weights!, clean: filled(base.weights!.clean, a), adv: filled(base.weights!.adv, b) },
        });
        const parsed = parsePage(wild);
        expect(parsed.errors).toEqual([]);
        for (const { tagName, attrs } of parsed.elements)
          for (const { name, value } of attrs)
            if (/^(x|y|[xyr][12]?|cx|cy|d|transform|points)$/.test(name))
              expect(/NaN|Infinity|undefined/.test(value) && `${tagName} ${name}="${value}"`).toBe(false);
      }),
      { numRuns: 25 },
    );
  });
});

describe('images that are as they were', () => {
  const base = made();
  // the first image was wrong already, the second withstood the attack, the third did not
  const images = Float32Array.of(...base.clean.images.subarray(0, 180), ...base.adv.images.subarray(180));
  const stayed: Explanation = {
    ...base,
    about: { ...base.about, attack: 'apgd-ce' },
    labels: Int32Array.of(0, 1, 2),
    clean: { ...base.clean, predicted: Int32Array.of(1, 1, 2) },
    adv: { ...base.adv, images },
  };
  const none: Explanation = { ...stayed, about: { ...stayed.about, attack: 'none' }, adv: stayed.clean };
  const texts = (explanation: Explanation, name: string) =>
    parsePage(renderExplanation(explanation))
      .elements.filter(element => hasClass(element, name) || element.tagName === name)
      .map(textOf);
  const picturesIn = (figures: readonly Figure[]) => figures.map(({ source }) => source.match(/<image /g)!.length);

  it('are drawn once, with the reason, and count as attacked only if they were', () => {
    expect(texts(stayed, 'note')).toEqual(['not attacked: wrong already', 'unchanged by the attack']);
    expect(texts(stayed, 'triple')).toHaveLength(4);
    expect(picturesIn(imageFigures(stayed))).toEqual([3, 3, 6]);
    expect(imageFigures(stayed)[0].source).toContain('>not attacked: wrong already</text>');
    const [cards, , weights] = texts(stayed, 'lead');
    expect(cards).toContain('2 of 3 images were attacked by apgd-ce; the others are wrong already and stay as they are.');
    expect(weights).toContain('2 of 3 images were attacked by apgd-ce, once, at the centre; the others are wrong already');
    expect(texts(base, 'lead')[0]).toContain('3 of 3 images were attacked by pgd-20.');
  });

  it('are no part of the similarity of maps', () => {
    const [a, b] = [base.clean, base.adv].map(({ cam }) => cam!.subarray(60));
    const dot = (u: Float32Array, v: Float32Array) => u.reduce((sum, value, p) => sum + value * v[p], 0);
    const { changed, similarity } = summariseExplanation(stayed);
    expect(changed).toBe(1);
    expect(similarity.cam).toBeCloseTo(dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)), 6);
    expect(summariseExplanation(none)).toMatchObject({ changed: 0, similarity: {} });
  });

  it('at radius 0 were attacked, too', () => {
    const still = { ...stayed, about: { ...stayed.about, eps: 0 } };
    expect(texts(still, 'note')).toEqual(['unchanged by the attack', 'unchanged by the attack']);
    expect(texts(still, 'lead')[0]).toContain('3 of 3 images were attacked by apgd-ce.');
  });

  it('without an attack are the clean ones alone', () => {
    expect([texts(none, 'note'), picturesIn(imageFigures(none))]).toEqual([[], [3, 3, 3]]);
    expect(texts(none, 'h1')).toEqual(['resnet18 on shapes: clean images']);
    expect(texts(none, 'facts-line')[0]).toMatch(/3 images of test\s· SA 66\.67\s%$/);
    expect(texts(none, 'footer')).toEqual(['SA is the accuracy on these images.']);
    expect(texts(none, 'lead').filter(lead => lead.includes('The images were not attacked.'))).toHaveLength(2);
    expect(texts(none, 'figure').filter(figure => figure.includes('weight space'))).toHaveLength(1);
    const anew = { ...none, weights: { ...none.weights!, recraft: 10 } };
    expect(texts(anew, 'figure').filter(figure => figure.includes('weight space'))).toHaveLength(2);
    expect(texts(anew, 'lead')[2]).toContain('All images were attacked anew at every point by PGD-10.');
  });
});

describe('pictures', () => {
  it('an image in its own colours, and its Grad-CAM over it', () => {
    const base = made();
    const page = renderExplanation(base);
    const uris = parsePage(page)
      .elements.filter(({ tagName }) => tagName === 'img')
      .map(element => attribute(element, 'src')!);
    const [image, cam] = uris.slice(0, 2).map(uri => decode(Buffer.from(uri.slice(uri.indexOf(',') + 1), 'base64')));
    expect([image.width, image.height]).toEqual([5, 6]);
    for (let p = 0; p < 30; p++)
      for (let c = 0; c < 3; c++) {
        const byte = Math.round(base.clean.images[c * 30 + p] * 255);
        expect(image.data[p * 3 + c]).toBe(byte);
        expect(cam.data[p * 3 + c]).toBe(Math.round(byte * 0.45 + heat(base.clean.cam![p])[c] * 0.55));
      }
  });

  it('the colours of heat rise in lightness, and stay at their ends outside of [0, 1]', () => {
    const lightness = Array.from({ length: 101 }, (_, i) => heat(i / 100)).map(([r, g, b]) => 0.3 * r + 0.59 * g + 0.11 * b);
    expect(lightness).toEqual(lightness.toSorted((a, b) => a - b));
    expect([heat(-1), heat(2)]).toEqual([heat(0), heat(1)]);
  });
});

describe('contour lines', () => {
  it('of any values pass exactly where the level is, on the edges of cells, and close or end at the rim', () => {
    const values = fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 25, maxLength: 25 });
    fc.assert(
      fc.property(values, fc.integer({ min: -9, max: 9 }), (heights, whole) => {
        const level = whole + 0.5;
        const at = ([x, y]: readonly [number, number]) => {
          const [j, i] = [Math.min(3, Math.floor(x)), Math.min(3, Math.floor(y))];
          const [dx, dy] = [x - j, y - i];
          const h = (r: number, c: number) => heights[r * 5 + c];
          return (h(i, j) * (1 - dx) + h(i, j + 1) * dx) * (1 - dy) + (h(i + 1, j) * (1 - dx) + h(i + 1, j + 1) * dx) * dy;
        };
        const ends = new Map<string, number>();
        for (const segment of contour(heights, 5, level))
          for (const point of segment) {
            expect(at(point)).toBeCloseTo(level, 9);
            const key = point.map(v => v.toFixed(9)).join();
            ends.set(key, (ends.get(key) ?? 0) + 1);
          }
        for (const [key, count] of ends) {
          const rim = key.split(',').some(v => Number(v) === 0 || Number(v) === 4);
          expect(count).toBe(rim ? 1 : 2);
        }
        // every edge of the grid whose ends lie on both sides is crossed once
        const edges = heights.flatMap((h, p) => [
          ...(p % 5 < 4 ? [[h, heights[p + 1]]] : []),
          ...(p < 20 ? [[h, heights[p + 5]]] : []),
        ]);
        expect(ends.size).toBe(edges.filter(([a, b]) => a > level !== b > level).length);
      }),
    );
  });

  it('have round levels inside of the range', () => {
    expect(contourLevels(0.3, 15)).toEqual([0.5, 1, 2, 5, 10]);
    expect(contourLevels(2, 2.1)).toEqual([2.02, 2.04, 2.06, 2.08]);
    expect(contourLevels(1, 1)).toEqual([]);
  });
});

describe('areas of classes', () => {
  const [left, bottom, side] = [50, 296, 268];
  const name = { name: 'a', format: String };
  const draw = (size: number, classes: readonly number[]) => {
    const along = Array.from({ length: size }, (_, i) => i - (size - 1) / 2);
    const plane = { title: 'areas', axis: along, x: name, y: name, centre: 'the image' };
    return classFigure({ ...plane, classes: Int32Array.from(classes), names: ['A', 'B', 'C', 'D'], truth: 3 }).source;
  };
  const areas = fc
    .integer({ min: 1, max: 8 })
    .map(half => 2 * half + 1)
    .chain(size =>
      fc.tuple(fc.constant(size), fc.array(fc.integer({ min: 0, max: 3 }), { minLength: size ** 2, maxLength: size ** 2 })),
    );

  it('have a line wherever two of them meet, and nowhere else', () => {
    fc.assert(
      fc.property(areas, ([size, classes]) => {
        const [, path] = /<path d="([^"]*)" fill="none" stroke="var\(--ink, #\w+\)" stroke-linecap/.exec(draw(size, classes))!;
        const [column, row] = [
          (x: number) => ((x - left) / side) * (size - 1),
          (y: number) => ((bottom - y) / side) * (size - 1),
        ];
        const drawn = [...path.matchAll(/M([\d.]+) ([\d.]+)([VH])([\d.]+)/g)].map(([, x, y, way, end]) => {
          const middle = (Number(way === 'V' ? y : x) + Number(end)) / 2;
          const [i, j] =
            way === 'V' ? [Math.round(row(middle)), column(Number(x))] : [row(Number(y)), Math.round(column(middle))];
          return [Math.floor(i) * size + Math.floor(j), way === 'V' ? 1 : size].join();
        });
        const meeting = classes.flatMap((klass, at) => [
          ...((at + 1) % size > 0 && classes[at + 1] !== klass ? [`${at},1`] : []),
          ...(at + size < classes.length && classes[at + size] !== klass ? [`${at},${size}`] : []),
        ]);
        expect(drawn.toSorted()).toEqual(meeting.toSorted());
      }),
    );
  });

  it('have a symbol each, in places that are theirs, and the centre within its mark', () => {
    fc.assert(
      fc.property(areas, ([size, classes]) => {
        const source = draw(size, classes);
        expect(source.indexOf('translate(184 162)')).toBeGreaterThan(source.indexOf('<circle cx="184" cy="162"'));
        const symbols = [...source.matchAll(/translate\(([\d.]+) ([\d.]+)\)" fill="var\(--run-(\d)/g)].map(match =>
          match.slice(1).map(Number),
        );
        const ofStyle = [...new Set([3, ...classes])];
        const inPlane = symbols.filter(([, y]) => y <= bottom);
        for (const [x, y, style] of inPlane) {
          const [row, column] = [bottom - y, x - left].map(at => Math.round((at / side) * (size - 1)));
          expect(classes[row * size + column]).toBe(ofStyle[style]);
        }
        const seen = (found: number[][]) => [...new Set(found.map(([, , style]) => ofStyle[style]))].toSorted();
        expect(seen(inPlane)).toEqual([...new Set(classes)].toSorted());
        expect(seen(symbols.filter(([, y]) => y > bottom))).toEqual([...new Set(classes)].toSorted());
      }),
    );
  });
});

describe('the files', () => {
  it('are, where they are asked for, also each figure as SVG and PNG, those of the images among them', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sparrow-explain-'));
    try {
      const { files } = await writeExplanation(folder, made(), { figureFiles: true });
      const named = ['image-1-', 'image-2-', 'image-3-', 'image-1-', 'loss-in-weight-space-attacked-images'];
      for (const name of named) expect(files.figures!.some(path => path.startsWith(join(folder, 'figures', name)))).toBe(true);
      expect(files.figures).toHaveLength(2 * (3 + 4 + 2));
      const card = files.figures!.find(path => path.endsWith('.png'))!;
      const { width, height, data, channels } = decode(readFileSync(card));
      const colours = new Set(
        Array.from({ length: width * height }, (_, i) => data.slice(i * channels, i * channels + 3).join()),
      );
      expect(colours.size).toBeGreaterThan(100); // six pictures of noise and their captions
      expect(readFileSync(card.replace('.png', '.svg'), 'utf8').match(/<image /g)).toHaveLength(6);
      expect(readFileSync(card.replace('.png', '.svg'), 'utf8')).toMatch(/>(right|wrong): /); // in letters that every font has
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('of the right class have the same colour, whether the image itself is classified so or not', () => {
    const base = made();
    const colours = [0, 1].map(klass => {
      const page = renderExplanation({
        ...base,
        labels: Int32Array.of(0, 0, 0),
        around: { ...base.around!, predicted: base.around!.predicted.map(() => klass) },
      });
      return /<path d="M[^"]*" fill="(var\(--run-\d)/.exec(page)![1];
    });
    expect(colours).toEqual(['var(--run-0', 'var(--run-1']);
  });

  it('hold the page, the summary, and every number by its name', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sparrow-explain-'));
    try {
      const base = made();
      const { files, ...summary } = await writeExplanation(join(folder, 'deep', 'why'), base);
      expect(readFileSync(files.page, 'utf8')).toBe(renderExplanation(base));
      expect(JSON.parse(readFileSync(files.summary, 'utf8'))).toEqual(summary);
      const { tensors, metadata } = readSafetensors(files.numbers);
      expect(Object.fromEntries([...tensors].map(([name, { shape }]) => [name, shape.join()]))).toEqual({
        clean: '3,3,6,5',
        adv: '3,3,6,5',
        labels: '3',
        'pred.clean': '3',
        'pred.adv': '3',
        'cam.clean': '3,6,5',
        'cam.adv': '3,6,5',
        'saliency.clean': '3,6,5',
        'saliency.adv': '3,6,5',
        'input.axis': '9',
        'input.loss': '2,9,9',
        'input.pred': '2,9,9',
        'weights.axis': '9',
        'weights.clean': '9,9',
        'weights.adv': '9,9',
      });
      expect(tensors.get('cam.adv')!.data).toEqual(base.adv.cam);
      expect(metadata).toMatchObject({ layer: 'layer4.1', attack: 'pgd-20', classes: JSON.stringify(base.classes) });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('the summary compares maps by their cosine, and looks at losses within the ball', () => {
    const base = made();
    const cams = (...rows: number[][]) =>
      Float32Array.from(rows.flatMap(row => Array.from({ length: 30 }, (_, i) => row[i] ?? 0)));
    const clean = { ...base.clean, cam: cams([1], [1, 1], [0]) };
    const adv = { ...base.adv, cam: cams([2], [1], [5]) };
    // loss a² + 10·b², the class 1 from a = 1 on
    const plane = axis.flatMap(b => axis.map(a => ({ loss: a * a + 10 * b * b, klass: a >= 1 ? 1 : 0 })));
    const around = {
      ...{ axis, count: 1 },
      loss: Float32Array.from(plane, p => p.loss),
      predicted: Int32Array.from(plane, p => p.klass),
    };
    const summary = summariseExplanation({ ...base, clean, adv, around });
    expect(summary.similarity.cam).toBeCloseTo((1 + Math.SQRT1_2 + 0) / 3, 6);
    // in steps of a half the ball |a| + |b| <= 1 has 13 points, one of which is of class 1
    expect(summary.around).toEqual({ images: 1, grid, radius: 2, centreLoss: 0, ballLoss: 10, kept: 12 / 13 });
    expect(summary.weights!.clean.centreLoss).toBe(base.weights!.clean[40]);
    expect(summary.weights!.adv.largestLoss).toBe(Math.max(...base.weights!.adv));
  });
});
