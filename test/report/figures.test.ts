/** Each kind of figure: what it draws of which numbers, read back from its SVG; and the figures as files. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { colourOf, dashOf, type Figure, frame, mark, runColours } from '../../src/report/figure.ts';
import { fileNames, standAlone, writeFigures } from '../../src/report/figureFiles.ts';
import { heatFigure } from '../../src/report/heatFigure.ts';
import { activeWeights, bins, histogram, reachOf } from '../../src/report/histogram.ts';
import { figuresOf, renderReport } from '../../src/report/page.ts';
import { rampHex } from '../../src/report/ramp.ts';
import type { RunData } from '../../src/report/run.ts';
import { attribute, hasClass, parsePage, textOf } from './html.ts';
import { madeRun } from './runs.ts';

const dense = madeRun({ label: 'Dense', seed: 2, epochs: 6, sa: 0.86, ra: 0.62, density: 1 });
const adaptive = madeRun({ label: 'Flying Bird+', seed: 3, epochs: 6, sa: 0.85, ra: 0.6, density: 0.2, adaptive: true });
const standard = madeRun({ label: 'Standard', seed: 1, epochs: 6, sa: 0.95, ra: 0.02, density: 1 });
const searched = {
  ...madeRun({ label: 'Robust Bird', seed: 4, epochs: 6, sa: 0.8, ra: 0.55, density: 0.2 }),
  distances: {
    epochs: [0, 1, 2],
    matrix: [
      [0, 0.3, 0.2],
      [0.3, 0, 0.04],
      [0.2, 0.04, 0],
    ],
    threshold: 0.08,
    emerged: 2,
  },
};

const titles = (figures: Figure[]): string[] => figures.map(figure => figure.title);
const named = (figures: Figure[], title: string): Figure => {
  const figure = figures.find(f => f.title === title);
  if (!figure) throw new Error(`no figure '${title}' among ${titles(figures).join('; ')}`);
  return figure;
};
const paths = (figure: Figure, name: string): string[] =>
  [...figure.source.matchAll(new RegExp(`<path class="${name}"[^>]*>(?:<title>([^<]*)</title>)?`, 'g'))].map(match => match[1]);

describe('the figures of a page', () => {
  it('are those that can be had as files', () => {
    for (const runs of [[dense], [adaptive], [dense, adaptive, searched]]) {
      const drawn = parsePage(renderReport(runs)).elements.filter(svg => hasClass(svg, 'figure'));
      const drawnTitles = drawn.map(svg => textOf(svg.childNodes[0] as never));
      expect(titles(figuresOf(runs))).toEqual(drawnTitles);
    }
  });

  it('of a dense run say nothing of masks', () => {
    expect(titles(figuresOf([dense]))).toEqual([
      'Final accuracy on test, clean and attacked',
      'Robust accuracy',
      'Robust generalisation gap',
      'Standard accuracy',
      'Loss under attack, validation',
      'Active weights of the whole network',
      'Active weights by layer, 1 of 2',
      'Active weights by layer, 2 of 2',
    ]);
  });

  it('of several runs have a curve a run for each set, and maps for those that have them', () => {
    expect(titles(figuresOf([dense, adaptive, searched]))).toEqual([
      'Final accuracy on test, clean and attacked',
      ...['test', 'validation', 'train'].map(set => `Robust accuracy, ${set}`),
      'Robust generalisation gap',
      ...['test', 'validation'].map(set => `Standard accuracy, ${set}`),
      'Loss under attack, validation',
      'Density',
      'ITOP rate: weights ever active',
      'Death rate r',
      'Mask distance',
      'Distances between masks: Robust Bird',
      'Density of each layer, from input to output',
      'Density of each layer by epoch: Flying Bird+',
      'Active weights of the whole network',
      'Active weights by layer, 1 of 2',
      'Active weights by layer, 2 of 2',
    ]);
  });

  it('of a fixed mask have its layers, and no curves of what does not move', () => {
    const [first] = adaptive.metrics;
    const still = { density: 0.2, fired: 0.2, maskDistance: Number.NaN, events: [], layers: first.layers! };
    const fixed = { ...adaptive, metrics: adaptive.metrics.map(epoch => ({ ...epoch, ...still })) };
    const found = titles(figuresOf([fixed]));
    expect(found).toContain('Density of each layer, from input to output');
    expect(found.filter(title => /ever active|Death rate|Mask distance|by epoch/.test(title))).toEqual([]);
  });

  it('have the death rate of runs that drop by it, and say what Flying Bird+ does beside it', () => {
    const of = (...runs: RunData[]) => {
      const page = renderReport(runs);
      const [told] = /The death rate r [^<]*? drops[^<]*?\./.exec(page) ?? [undefined];
      return [titles(figuresOf(runs)).includes('Death rate r'), /<th scope="col">death rate r</.test(page), told];
    };
    const told =
      'The death rate r at the end of each epoch is the schedule’s fraction of the active weights that an update drops';
    const setting = (config: Record<string, unknown>) => ({ ...adaptive, config: { ...adaptive.config, ...config } });
    expect(of(adaptive)).toEqual([true, true, `${told}, before what Flying Bird+ prunes further.`]);
    expect(of(setting({ fbp: false }))).toEqual([true, true, `${told}.`]);
    for (const none of [dense, setting({ death: 'threshold' })]) expect(of(none)).toEqual([false, false, undefined]);
    const both = figuresOf([adaptive, { ...setting({ death: 'threshold' }), label: 'by threshold' }]);
    expect(named(both, 'Death rate r').source).not.toContain('by threshold');
  });

  it('name their axes with units', () => {
    for (const figure of figuresOf([dense, adaptive, searched]).slice(1))
      expect(figure.source, figure.title).toMatch(/>[^<]*(\(%\)|\(percentage points\)|\(nats\)|[Ff]raction of [^<]*)<\/text>/);
  });

  it('keep points and long numbers clear of what is at the axes', () => {
    const near = adaptive.metrics.map((epoch, i) => ({ ...epoch, density: 0.2001 + i * 1e-5, fired: 0.2001 + i * 2e-5 }));
    const { source } = named(figuresOf([{ ...adaptive, metrics: near }]), 'Weights active, and ever active');
    const numbers = [...source.matchAll(/<text x="([\d.]+)" y="[\d.]+" text-anchor="end"[^>]*>([^<]*)</g)];
    expect(new Set(numbers.map(([, , text]) => text.split('.')[1].length)).size).toBe(1); // as many decimals each
    const [, at, longest] = numbers[0];
    expect(Number(at) - 7.5 * longest.length).toBeGreaterThan(16); // right of the axis' name
    const legendHeight = 45;
    const symbols = [...source.matchAll(/transform="translate\(([\d.]+) ([\d.]+)\)"/g)].map(match => match.slice(1).map(Number));
    const points = symbols.filter(([, y]) => y > legendHeight).map(([x]) => x);
    const [, bottom] = /<line x1="[\d.]+" x2="[\d.]+" y1="([\d.]+)" y2="\1" stroke="var\(--muted/.exec(source)!.map(Number);
    const [, below] = /y="([\d.]+)" text-anchor="middle"/.exec(source)!.map(Number);
    expect(below - 10).toBeGreaterThan(bottom + 7); // a ring at the lowest value, too
    expect(Math.min(...points)).toBeGreaterThan(Number(at) + 6 + 7); // a ring beyond the axis' line
  });

  it('write values of a dumbbell beside its dots, with one decimal', () => {
    const { source } = figuresOf([{ ...dense, result: { ...dense.result, final: { testRa: 0.31, testSa: 0.455 } } }])[0];
    const texts = [...source.matchAll(/<text x="([\d.]+)"[^>]*font-size="11">([^<]*)</g)].map(([, x, text]) => ({
      x: Number(x),
      text,
    }));
    expect(texts.map(({ text }) => text)).toEqual(['31.0', '45.5']);
    expect(texts[1].x - texts[0].x).toBeLessThan(50);
  });

  it('show the robust accuracy of a dumbbell over the standard one', () => {
    const [{ source }] = figuresOf([{ ...dense, result: { ...dense.result, final: { testRa: 0.31, testSa: 0.31 } } }]);
    expect([...source.matchAll(/<title>([RS]A) 31/g)].map(([, name]) => name)).toEqual(['SA', 'RA']);
  });

  it('tell runs apart by dash and symbol, not by colour alone', () => {
    const { source } = named(figuresOf([dense, adaptive, searched]), 'Robust accuracy, test');
    const curves = [
      ...source.matchAll(/<path d="M[^"]*" fill="none" stroke="([^"]*)" stroke-width="2" stroke-dasharray="([^"]*)"/g),
    ];
    expect(new Set(curves.map(curve => curve[2])).size).toBe(3);
    expect(curves.map(curve => curve[1].includes(runColours[curves.indexOf(curve)]))).toEqual([true, true, true]);
  });

  it('have any two of colour, dash and symbol to tell 49 runs apart', () => {
    const shapeOf = (style: number): string => / d="([^"]*)"/.exec(mark(style).source)![1];
    const styles = Array.from({ length: 49 }, (_, style) => [colourOf(style), dashOf(style), shapeOf(style)]);
    for (const left of [0, 1, 2]) expect(new Set(styles.map(style => style.toSpliced(left, 1).join())).size).toBe(49);
    for (const own of [0, 1, 2]) expect(new Set(styles.slice(0, 7).map(style => style[own])).size).toBe(7);
  });

  it('tell the runs of a sweep apart: dots and names by symbol, outlines by dash', () => {
    const sweep = Array.from({ length: 15 }, (_, i) => ({ ...adaptive, label: `run ${i}` }));
    const figures = figuresOf(sweep);
    const own = (text: string): string => /(d="[^"]*").*? fill="([^"]*)"/.exec(text)!.slice(1).join();
    const { source } = named(figures, 'Density of each layer, from input to output');
    const dots = [...source.matchAll(/<path d="[^"]*" transform="[^"]*" fill="[^"]*"[^>]*><title>run \d+:/g)].slice(0, 15);
    const names = [...renderReport(sweep).matchAll(/<th scope="col"><span class="run"><svg[^>]*>(.*?)<\/svg>/g)].slice(0, 15);
    for (const found of [dots, names]) expect(new Set(found.map(([text]) => own(text))).size).toBe(15);
    const weights = named(figures, 'Active weights of the whole network').source;
    const outlines = [...weights.matchAll(/stroke="([^"]*)" stroke-width="1.5" stroke-dasharray="([^"]*)"><title>run \d+:/g)];
    expect(outlines).toHaveLength(15);
    expect(new Set(outlines.map(([, colour, dash]) => colour + dash)).size).toBe(15);
  });

  it('of several runs share a scale on test and validation, and have another on train', () => {
    const fitted = [dense, adaptive].map(run => ({
      ...run,
      metrics: run.metrics.map(m => ({ ...m, trainRa: 0.9 + m.valRa / 10 })),
    }));
    const figures = figuresOf(fitted);
    const ticksOf = (set: string): number[] =>
      [...named(figures, `Robust accuracy, ${set}`).source.matchAll(/text-anchor="end"[^>]*>([^<]*)</g)].map(m => Number(m[1]));
    expect(ticksOf('test')).toEqual(ticksOf('validation'));
    expect(Math.max(...ticksOf('test'))).toBeLessThan(Math.min(...ticksOf('train')));
  });

  it('draw the gap as train RA - test RA of each epoch, of adversarial training only', () => {
    const { source } = named(figuresOf([standard, adaptive]), 'Robust generalisation gap');
    const last = adaptive.metrics.at(-1)!;
    const gap = ((last.trainRa - last.testRa) * 100).toPrecision(4);
    expect(source).toContain(
      `<desc>gap (percentage points) against epoch. Flying Bird+ ends at ${Number(gap)} (epoch 6).</desc>`,
    );
    expect(titles(figuresOf([standard]))).not.toContain('Robust generalisation gap');
  });

  it('mark the decisions of Flying Bird+ once an epoch', () => {
    const figure = named(figuresOf([adaptive]), 'Loss under attack, validation');
    const told = (decision: string, epochs: number[]): string[] =>
      epochs.map(epoch => `validation: decided to ${decision} further at iteration ${30 * epoch} (epoch ${epoch})`);
    expect(paths(figure, 'prune').filter(Boolean)).toEqual(told('prune', [2, 4, 6]));
    expect(paths(figure, 'grow').filter(Boolean)).toEqual(told('grow', [3, 6]));
    expect(figure.source).toContain('decided to prune</text>');
    expect(named(figuresOf([dense]), 'Loss under attack, validation').source).not.toContain('decided');
  });

  it('mark decisions where the figure shows what they are taken by, in a row a run between the curves and the axis', () => {
    const three = [adaptive, dense, { ...adaptive, label: 'Flying Bird+ again' }];
    for (const runs of [[adaptive], three]) {
      const deciding = figuresOf(runs).filter(({ source }) => source.includes('decided'));
      expect(titles(deciding)).toEqual(['Robust generalisation gap', 'Loss under attack, validation']);
      for (const { source } of deciding) {
        const [, bottom] = /<line x1="[\d.]+" x2="[\d.]+" y1="([\d.]+)" y2="\1" stroke="var\(--muted/.exec(source)!.map(Number);
        const lowest = Math.max(...[...source.matchAll(/y="([\d.]+)" text-anchor="end"/g)].map(([, y]) => Number(y) - 4));
        const signs = [...source.matchAll(/class="(prune|grow)" d="M[\d.]+ ([\d.]+)[^"]*"[^>]*stroke="([^"]*)"[^>]*><title>/g)];
        const colours = [...new Set(signs.map(([, , , colour]) => colour))];
        expect(colours).toEqual(runs.flatMap((run, style) => (run === dense ? [] : [colourOf(style)])));
        const heights = colours.map(own => signs.filter(([, , , colour]) => colour === own).map(([, , y]) => Number(y)));
        for (const [i, row] of heights.entries()) {
          expect(new Set(row).size).toBe(2); // prune and grow of one epoch are apart
          expect(Math.min(...row)).toBeGreaterThan(i === 0 ? lowest + 7 : Math.max(...heights[i - 1])); // clear of a ring
          expect(Math.max(...row)).toBeLessThan(bottom);
        }
        const symbols = [...source.matchAll(/translate\([\d.]+ ([\d.]+)\)" fill/g)].filter(([, y]) => Number(y) > lowest + 8);
        expect(symbols).toHaveLength(runs.length > 1 ? 2 : 0); // a row's run, where there are others
      }
    }
    expect(renderReport(three)).toContain('Triangles below the curves of the gap and of the loss mark');
  });
});

describe('a title', () => {
  const drawn = (title: string) => {
    const { source } = frame(title, 'a figure', 100, '');
    const [, text] = /font-weight="600"[^>]*>(.*?)<\/text>/.exec(source)!;
    return [/viewBox="0 0 400 (\d+)"/.exec(source)![1], ...text.replaceAll('</tspan>', '').split(/<tspan x="0" dy="18">/)];
  };

  it('that is long has two lines, below which the figure begins', () => {
    expect(drawn('Density of each layer by epoch: Flying Bird+')).toEqual([
      '100',
      'Density of each layer by epoch: Flying Bird+',
    ]);
    const long = 'Distances between masks: Robust Bird, channels';
    expect(drawn(long)).toEqual(['118', 'Distances between masks: Robust Bird,', 'channels']);
    expect(frame(long, '', 100, 'all of it').source).toContain('<g transform="translate(0 18)">all of it</g>');
  });

  it('is cut where a line has no room or no space', () => {
    const name = 'x'.repeat(60);
    expect(drawn(name)).toEqual(['100', `${'x'.repeat(43)}…`]);
    expect(drawn(`Mask of ${name}`)).toEqual(['118', 'Mask of', `${'x'.repeat(43)}…`]);
  });
});

describe('a heat map', () => {
  const axis = { name: 'epoch', format: String };
  const draw = (cells: number[][]): string =>
    heatFigure({
      title: 'map',
      x: { ...axis, values: cells[0].map((_, i) => i) },
      y: { name: 'row', names: cells.map((_, i) => `r${i}`) },
      cells,
      colour: { name: 'value', format: String, domain: [0, 1] },
      description: 'a map',
    })!.source;

  /** Columns covered in each row by colour, from the rectangles of the paths. */
  function covered(source: string, columns: number): Map<string, number> {
    const widths = new Map<string, number>();
    const all = [...source.matchAll(/<path shape-rendering="crispEdges" fill="(#\w+)" d="([^"]*)"/g)];
    const rectangles = all.flatMap(([, colour, d]) =>
      [...d.matchAll(/M(\S+) (\S+)h(\S+)v/g)].map(m => ({ colour, width: Number.parseFloat(m[3]) })),
    );
    const total = rectangles.reduce((sum, { width }) => sum + width, 0);
    const cell = total / columns;
    for (const { colour, width } of rectangles) widths.set(colour, (widths.get(colour) ?? 0) + Math.round(width / cell));
    return widths;
  }

  it('has as much of each colour as there are cells of its value', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.constantFrom(0, 1), { minLength: 4, maxLength: 4 }), { minLength: 1, maxLength: 6 }),
        cells => {
          const found = covered(draw(cells), cells.length * 4);
          const ones = cells.flat().filter(value => value === 1).length;
          expect([found.get(rampHex(1)) ?? 0, found.get(rampHex(0)) ?? 0]).toEqual([ones, cells.length * 4 - ones]);
        },
      ),
    );
  });

  it('leaves cells empty that were not measured, and keeps to its ends beyond them', () => {
    const found = covered(draw([[Number.NaN, 5, -5]]), 2);
    expect([...found].sort()).toEqual(
      [
        [rampHex(1), 1],
        [rampHex(0), 1],
      ].sort(),
    );
  });

  it('darkens evenly', () => {
    const luminance = Array.from({ length: 33 }, (_, i) => {
      const value = Number.parseInt(rampHex(i / 32).slice(1), 16);
      return 0.2126 * (value >> 16) + 0.7152 * ((value >> 8) & 255) + 0.0722 * (value & 255);
    });
    expect(luminance).toEqual(luminance.toSorted((a, b) => b - a));
    expect(Math.min(...luminance.slice(1).map((value, i) => luminance[i] - value))).toBeGreaterThan(2);
  });

  it('of mask distances frames the masks that were alike, and says what is in it', () => {
    const { source } = named(figuresOf([searched]), 'Distances between masks');
    expect(source.match(/<rect [^>]*fill="none"/g)).toHaveLength(2);
    expect(source).toContain('>The ticket emerged at epoch 2 (framed)</text>');
    expect(renderReport([searched])).toContain('The frame is around');
    expect(source).toContain('threshold 0.08');
    expect(source).toContain('before: 0.3 at epoch 1, 0.2 at epoch 2. The ticket emerged at epoch 2.</desc>');
    const epochs = [0, 1, 2, 3, 4, 5];
    const matrix = epochs.map(a => epochs.map(b => Math.abs(a - b) / 10));
    const longer = { ...searched, distances: { ...searched.distances, epochs, matrix } };
    expect(named(figuresOf([longer]), 'Distances between masks').source).toContain('0.4 at epoch 4, 0.4 at epoch 5.'); // of four
    const none = { ...searched, distances: { ...searched.distances, emerged: undefined } };
    const unframed = named(figuresOf([none]), 'Distances between masks').source;
    expect(unframed).toMatch(/No ticket emerged\.<\/desc>.*>No ticket emerged<\/text>/s);
    expect(unframed).not.toMatch(/<rect [^>]*fill="none"/);
    expect(renderReport([none])).not.toMatch(/frame is|framed/);
  });
});

describe('histograms', () => {
  it('count every active weight once', () => {
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 }), values => {
        const parts = [Float32Array.from(values)];
        const shares = histogram(parts, reachOf(parts));
        expect(shares).toHaveLength(bins);
        expect(shares.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
      }),
    );
  });

  it('put zero into the middle bin and the ends into the outermost', () => {
    const at = (value: number): number => histogram([Float32Array.of(value)], 1).indexOf(1);
    expect([-9, -1, 0, 1, 9].map(at)).toEqual([0, 0, 20, 40, 40]);
  });

  it('leave out what the mask drops', () => {
    const layer = { name: 'fc.weight', values: Float32Array.of(1, 2, 3, 4) };
    expect([...activeWeights(layer, { name: 'fc.weight', shape: [2, 2], keep: [1, 0, 0, 1] })]).toEqual([1, 4]);
    expect([...activeWeights(layer)]).toEqual([1, 2, 3, 4]);
  });

  it('of a run name each layer with its active weights', () => {
    const figure = named(figuresOf([adaptive]), 'Active weights by layer, 1 of 2');
    const [first] = adaptive.masks;
    const active = Array.from(first.keep).filter(Boolean).length;
    expect(figure.source).toContain(`conv1: Flying Bird+: ${active} weights`);
  });
});

describe('figures as files', () => {
  it('are an SVG without variables and a PNG of twice its size, with text in it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sparrow-figures-'));
    try {
      const figures = figuresOf([adaptive, searched]);
      const written = await writeFigures(figures, join(folder, 'new'));
      expect(written).toHaveLength(2 * figures.length);
      expect(readdirSync(join(folder, 'new')).sort()).toEqual(written.map(path => path.slice(folder.length + 5)).sort());
      const path = join(folder, 'new/distances-between-masks-robust-bird');
      const svg = readFileSync(`${path}.svg`, 'utf8');
      expect(svg).not.toMatch(/var\(|NaN/);
      const [, width, height] = /width="([\d.]+)" height="([\d.]+)"/.exec(svg)!.map(Number);
      const { width: w, height: h, data, channels } = decode(readFileSync(`${path}.png`));
      expect([w, h]).toEqual([2 * width, Math.ceil(2 * height)].map(Math.round));
      // the title is dark text in the topmost rows, right of its first letters too
      const dark = Array.from(
        { length: 200 * 50 },
        (_, i) => data[((20 + Math.floor(i / 200)) * w + 100 + (i % 200)) * channels] < 80,
      );
      expect(dark.filter(Boolean).length).toBeGreaterThan(300);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('are well-formed XML, whatever a run is called', () => {
    const svg = standAlone(figuresOf([{ ...dense, label: '<a & "b">' }, adaptive])[1]);
    expect(svg.replace(/^<\?xml[^>]*>\n/, '')).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
    expect(svg.replace(/&(amp|lt|gt|quot|#39);/g, '')).not.toContain('&');
    const tags = parsePage(`<!doctype html><title>t</title>${svg.slice(svg.indexOf('<svg'))}`);
    expect(tags.errors).toEqual([]);
    expect(attribute(tags.elements.find(({ tagName }) => tagName === 'svg')!, 'role')).toBe('img');
  });

  it('have names of their own', () => {
    expect(fileNames(['RA, test: FB+', 'RA, test', 'ra test', 'ra test 2', '中文', '中文'])).toEqual([
      'ra-test-fb-plus',
      'ra-test',
      'ra-test-2',
      'ra-test-2-2',
      'figure',
      'figure-2',
    ]);
  });
});
