import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noticesOf } from '../../src/report/notices.ts';
import { renderReport } from '../../src/report/page.ts';
import type { EpochMetrics, RunData } from '../../src/report/run.ts';
import { sparsity } from '../../src/report/sections/sparsity.ts';
import { attribute, hasClass, parsePage, tableRows, textOf } from './html.ts';
import { madeRun } from './runs.ts';

const flyingBird = madeRun({ label: 'Flying Bird', seed: 3, epochs: 12, sa: 0.85, ra: 0.6, density: 0.2 });
const dense = madeRun({ label: 'Dense', seed: 2, epochs: 12, sa: 0.86, ra: 0.62, density: 1 });
const bare: RunData = { folder: 'bare', label: 'bare', config: {}, metrics: [], masks: [], weights: [] };

const sectionIds = (page: string): (string | undefined)[] =>
  parsePage(page)
    .elements.filter(({ tagName }) => tagName === 'section')
    .map(section => attribute(section, 'id'));

function table(page: string, name: string): string[][] {
  const found = parsePage(page).elements.find(element => element.tagName === 'table' && hasClass(element, name));
  return found ? tableRows(found).map(row => row.map(cell => cell.replaceAll(/[\u00A0\u202F]/g, ' '))) : [];
}

describe('the results table', () => {
  const result = {
    ...flyingBird.result,
    density: 0.20004,
    best: { epoch: 101, testRa: 0.5162, testSa: 0.80551, valRa: 0.52 },
    final: { testRa: 0.4637, testSa: 0.8317 },
    gap: { trainRa: 0.7527, testRa: 0.4637, gap: 0.289 },
    flops: {
      inferenceDense: 555_422_720,
      inferenceReal: 277_711_360,
      trainingDense: 8e17,
      trainingReal: 2.5e17,
      formula: 'f = 2 < 3',
    },
    seconds: 4000,
  };
  const page = renderReport([{ ...flyingBird, result }, dense]);

  it('shows the numbers of result.json', () => {
    const column = table(page, 'results').map(row => row.slice(0, 2));
    expect(column).toEqual([
      ['', 'Flying Bird'],
      ['Robust accuracy (RA), test'],
      ['best', '51.62 %'],
      ['final', '46.37 %'],
      ['difference', '+5.25'],
      ['Standard accuracy (SA), test'],
      ['best', '80.55 %'],
      ['final', '83.17 %'],
      ['difference', '−2.62'],
      ['Robust generalisation, final model'],
      ['train RA', '75.27 %'],
      ['test RA', '46.37 %'],
      ['gap', '+28.90'],
      ['Cost'],
      ['density', '0.2000'],
      ['ITOP rate', '0.3963'],
      ['inference FLOPs', '277.7 M50.0 % of 555.4 M'],
      ['training FLOPs', '250 P31.3 % of 800 P'],
      ['best epoch', '101'],
      ['time', '1 h 6 min'],
    ]);
  });

  it('marks the highest accuracy of each row', () => {
    const results = parsePage(page)
      .elements.filter(({ tagName }) => tagName === 'strong')
      .map(textOf);
    const highest = [0.5162, 0.4637, 0.80551, 0.8317].map((mine, i) => {
      const theirs = [dense.result.best.testRa, dense.result.final.testRa, dense.result.best.testSa, dense.result.final.testSa][
        i
      ];
      return `${(Math.max(mine, theirs) * 100).toFixed(2)}\u00A0%`;
    });
    expect(results).toEqual(['bold', ...highest]);
  });

  it.each<[string, Record<string, unknown>, Record<string, unknown>, string | undefined]>([
    ['attacks of different radii', {}, { testEps: 4 }, '--test-eps 8 (A), 4 (B)'],
    [
      'attacks of different norms',
      {},
      { norm: 'l2', testEps: 0.5, testGamma: 0.1 },
      '--norm linf (A), l2 (B); --test-eps 8 (A), 0.5 (B); --test-gamma 2 (A), 0.1 (B)',
    ],
    ['attacks of different steps', { testStep: 1 }, {}, '--test-step 1 (A), 20 (B)'],
    ['an attack without a random start', {}, { testRandinit: false }, '--test-randinit not given (A), given (B)'],
    ['a part of the images', {}, { evalLimit: 64 }, '--eval-limit not given (A), 64 (B)'],
    ['attacks that are the same in an older file', { testRandinit: true, norm: 'linf' }, {}, undefined],
    ['other settings', { trainEps: 4, data: 'a' }, { limit: 64, data: 'b' }, undefined],
  ])('ranks no accuracies that do not compare, and says why: %s', (_, a, b, differ) => {
    const runs = [a, b].map((config, i) => ({ ...dense, label: 'AB'[i], config: { ...dense.config, ...config } }));
    const notices =
      differ === undefined ? [] : [`The runs are evaluated differently, their accuracies do not compare: ${differ}.`];
    expect(noticesOf(runs)).toEqual(notices);
    const { elements } = parsePage(renderReport(runs));
    const texts = (name: string): string[] => elements.filter(element => hasClass(element, name)).map(textOf);
    expect(texts('notice')).toEqual(notices);
    expect(elements.some(({ tagName }) => tagName === 'strong')).toBe(differ === undefined);
  });

  it('ranks no accuracies on different folders of images', () => {
    const on = (label: string, data: string) => ({
      ...dense,
      label,
      result: { ...dense.result, dataset: 'folder' },
      config: { data },
    });
    expect(noticesOf([on('A', 'a'), on('B', 'a/')])).toEqual([]);
    const two = [on('A', 'a'), on('A', 'b')].map((run, i) => ({ ...run, folder: `run${i}` }));
    const notice =
      'The runs are on different data sets, their accuracies do not compare: folder a (A (run0)), folder b (A (run1)).';
    expect(noticesOf(two)).toEqual([notice]);
    expect(renderReport(two)).not.toContain('<strong>');
  });

  it.each<[(number | undefined)[], string | undefined]>([
    [[undefined, undefined], undefined],
    [[256, 256], 'Accuracies are of at most 256 images each; the standard error of one is about 3.1 points.'],
    [[256, 64], 'Accuracies are of at most 64 or 256 images each; the standard error of one is about 6.3 or 3.1 points.'],
    [
      [undefined, 64],
      'Accuracies under --eval-limit are of at most 64 images each; the standard error of one is about 6.3 points.',
    ],
  ])('says how exact the accuracies of few images are: %j', (limits, told) => {
    const runs = limits.map((evalLimit, i) => ({ ...dense, label: 'AB'[i], config: { ...dense.config, evalLimit } }));
    const [lead] = parsePage(renderReport(runs)).elements.filter(element => hasClass(element, 'lead'));
    expect(/Accuracies.*points\./.exec(textOf(lead))?.[0]).toBe(told);
  });

  it('prints the formula of the FLOPs', () => {
    expect(
      parsePage(page)
        .elements.filter(({ tagName }) => tagName === 'pre')
        .map(textOf),
    ).toContain('f = 2 < 3');
  });

  it('of a run that still goes on takes best and final from the epochs so far', () => {
    const epoch = (values: Partial<EpochMetrics>): EpochMetrics => ({ ...flyingBird.metrics[0], ...values });
    const metrics = [
      epoch({ epoch: 1, valRa: 0.2, testRa: 0.21, testSa: 0.5 }),
      epoch({ epoch: 2, valRa: 0.4, testRa: 0.31, testSa: 0.6 }),
      epoch({ epoch: 3, valRa: 0.3, testRa: 0.25, testSa: 0.7 }),
    ];
    const unfinished = renderReport([{ ...flyingBird, result: undefined, metrics }]);
    const rows = table(unfinished, 'results');
    expect(rows.slice(2, 5)).toEqual([
      ['best', '31.00 %'],
      ['final', '25.00 %'],
      ['difference', '+6.00'],
    ]);
    expect(rows.slice(6, 9)).toEqual([
      ['best', '60.00 %'],
      ['final', '70.00 %'],
      ['difference', '−10.00'],
    ]);
    expect(unfinished).toContain('Not finished');
  });
});

describe('the page', () => {
  const page = renderReport([dense, flyingBird]);

  it('holds every section, and needs nothing from outside', () => {
    expect(sectionIds(page)).toEqual([
      'results',
      'curves',
      'sparsity',
      'layers',
      'weights',
      'masks',
      'samples',
      'configuration',
      'flops',
    ]);
    const { elements, errors } = parsePage(page);
    expect(errors).toEqual([]);
    const used = elements.flatMap(element => ['src', 'href', 'srcset'].map(name => attribute(element, name) ?? ''));
    expect(used.filter(uri => !/^(data:image\/png;base64,|#|$)/.test(uri))).toEqual([]);
    const ids = new Set(elements.map(element => attribute(element, 'id')));
    expect(used.filter(uri => uri.startsWith('#') && !ids.has(uri.slice(1)))).toEqual([]);
    expect(page).not.toMatch(/<script|<link|@import|url\(/);
  });

  it('describes every picture in words', () => {
    const { elements } = parsePage(page);
    const pictures = elements.filter(({ tagName }) => tagName === 'img');
    expect(pictures.length).toBeGreaterThan(10);
    expect(pictures.filter(picture => !attribute(picture, 'alt'))).toEqual([]);
    for (const figure of elements.filter(svg => hasClass(svg, 'figure'))) {
      const [title, description] = figure.childNodes.map(node => ('tagName' in node ? textOf(node) : ''));
      expect([title.length > 5, description.length > 20]).toEqual([true, true]);
    }
  });

  it('leaves out what no run has', () => {
    expect(sectionIds(renderReport([bare]))).toEqual(['results']);
    expect(sectionIds(renderReport([{ ...bare, metrics: dense.metrics }]))).toEqual(['results', 'curves']);
    const withoutFiles = { ...flyingBird, masks: [], weights: [], samples: undefined };
    expect(sectionIds(renderReport([withoutFiles]))).toEqual([
      'results',
      'curves',
      'sparsity',
      'layers',
      'configuration',
      'flops',
    ]);
  });

  it('names settings as flags, those at their defaults apart', () => {
    const config = {
      dataset: 'shapes',
      decreasingLr: [6, 9],
      batchSize: 128,
      augment: false,
      fb: true,
      fbp: false,
      version: 1,
      note: 'x',
    };
    const found = (runs: RunData[]): string[][] =>
      parsePage(renderReport(runs))
        .elements.filter(({ tagName }) => tagName === 'dl')
        .slice(1)
        .map(list => list.childNodes.map(node => textOf(node as never)));
    const chosen = ['--datasetshapes', '--decreasing-lr6,9', '--no-augmentgiven', '--fbgiven', 'notex'];
    expect(found([{ ...dense, result: undefined, config }])).toEqual([chosen, ['--batch-size128', '--fbpnot given']]);
    const rows = table(
      renderReport([
        { ...dense, config },
        { ...dense, label: 'b', config: { ...config, fb: false, lr: 1 } },
      ]),
      'settings',
    );
    expect(rows.slice(1)).toEqual([
      ['--fb', 'given', 'not given'],
      ['--lr', '–', '1'],
    ]);
  });

  it('names what both stages of Robust Bird were begun with', () => {
    const config = { epochs: 3, stage1: 'sgd', epochs1: 7, pruning: 'channel', density: 0.2 };
    const result = { ...dense.result, stages: 'sgd, channel' };
    const runs = [0.2, 0.5].map((density, i) => ({ ...dense, label: `rb${i}`, result, config: { ...config, density } }));
    expect(table(renderReport(runs), 'settings').slice(1)).toEqual([['--density', '0.2', '0.5']]);
    const facts = parsePage(renderReport(runs.slice(0, 1)))
      .elements.filter(({ tagName }) => tagName === 'dl')[1]
      .childNodes.map(node => textOf(node as never));
    expect(facts.slice(0, 5)).toEqual(['--epochs3', '--stage1sgd', '--epochs17', '--pruningchannel', '--density0.2']);
    expect(facts.join()).not.toContain('stage 1, pruning');
  });

  it('calls the accuracy on training batches robust only where training was adversarial', () => {
    const header = (mode: string): string =>
      table(renderReport([{ ...dense, result: undefined, config: { mode } }]), 'values')[0][1];
    expect([header('sgd'), header('trades')]).toEqual(['train accuracy', 'train RA']);
  });

  it('has the mask updates of an epoch behind what is as wide in every row', () => {
    const rows = table(renderReport([flyingBird]), 'values');
    expect(rows.slice(0, 2).map(row => row.at(-1))).toEqual(['mask updates', '30']);
  });

  it('has the ITOP rate of masks, and none of a network without', () => {
    const header = (run: RunData): string[] => table(renderReport([run]), 'values')[0];
    expect(header(flyingBird)).toContain('ITOP rate');
    expect(header(dense)).not.toContain('ITOP rate'); // as where channels were removed
  });

  it('counts the epochs of runs of different lengths', () => {
    expect(renderReport([dense, { ...dense, metrics: dense.metrics.slice(0, 5) }])).toContain('\u00A0· 5 to 12 epochs\u00A0·');
  });

  it.each<[RunData['stage1'], string, string | undefined]>([
    [{ mode: 'sgd', epochs: 8 }, '8 + 12 epochs', 'the network of stage 1 after 8 epochs of sgd'],
    [{ mode: 'fast', epochs: 1 }, '1 + 12 epochs', 'the network of stage 1 after 1 epoch of fast'],
    [{ mode: 'sgd', epochs: Number.NaN }, '12 epochs', 'the network of stage 1 by sgd'],
    [{ mode: '', epochs: Number.NaN }, '12 epochs', 'a network that was trained before'],
    [undefined, '12 epochs', undefined],
  ])('says with what the curves of stage 2 of Robust Bird begin: %j', (stage1, epochs, beginning) => {
    const birds = ['Robust Bird', 'the same'].map(label => ({ ...dense, label, stage1 }));
    const told = beginning && ` The curves of Robust Bird, the same are those of stage 2, which begins with ${beginning}.`;
    const page = renderReport(birds);
    expect(page).toContain(`\u00A0· ${epochs}\u00A0·`);
    expect(/ The curves of [^<]*? are those of stage 2[^<]*?\./.exec(page)?.[0]).toBe(told);
    const beside = stage1?.epochs ? `12 to (${stage1.epochs} + 12) epochs` : '12 epochs';
    expect(renderReport([...birds, dense])).toContain(`\u00A0· ${beside}\u00A0·`);
  });

  it('takes densities from the metrics where there is no checkpoint', () => {
    const layers = [{ name: 'conv1.weight', nnz: 250, size: 1000 }];
    const rows = table(renderReport([{ ...bare, metrics: [{ ...dense.metrics[0], layers }] }]), 'layers');
    expect(rows[1]).toEqual(['conv1', '1 000', '2500.2500']);
  });

  it('says how many weights each layer and the network keep', () => {
    const rows = table(renderReport([flyingBird]), 'layers');
    const count = (keep: ArrayLike<number>): number => Array.from(keep).filter(value => value !== 0).length;
    const written = (nnz: number, size: number): string => `${nnz}${(nnz / size).toFixed(4)}`;
    const all = flyingBird.masks.flatMap(({ keep }) => Array.from(keep));
    const expected = flyingBird.masks.map(({ keep }) => [`${keep.length}`, written(count(keep), keep.length)]);
    expect(rows.slice(1).map(row => row.slice(1).map(cell => cell.replaceAll(' ', '')))).toEqual([
      ...expected,
      [`${all.length}`, written(count(all), all.length)],
    ]);
  });

  it('says of how many weights a layer keeps some, once where the runs agree', () => {
    const of = (label: string, size: number): RunData => {
      const layers = [
        { name: 'conv1.weight', nnz: 50, size: 100 },
        { name: 'conv2.weight', nnz: size / 4, size },
      ];
      return { ...bare, label, metrics: [{ ...dense.metrics[0], layers }] };
    };
    expect(table(renderReport([of('thin', 1000), of('wide', 4000)]), 'layers').slice(1)).toEqual([
      ['conv1', '100', '500.5000', '500.5000'],
      ['conv2', '–', '250 of 1 0000.2500', '1 000 of 4 0000.2500'],
      ['all', '–', '300 of 1 1000.2727', '1 050 of 4 1000.2561'],
    ]);
    expect(table(renderReport([of('a', 1000), of('b', 1000)]), 'layers').at(-1)).toEqual([
      'all',
      '1 100',
      '3000.2727',
      '3000.2727',
    ]);
  });

  it('says from which density a layer and the network came', () => {
    const metrics = [60, 30].map((nnz, i) => {
      const layers = [
        { name: 'conv1.weight', nnz, size: 100 },
        { name: 'conv2.weight', nnz: 10, size: 100 },
      ];
      return { ...dense.metrics[i], layers };
    });
    const page = renderReport([{ ...bare, metrics }]);
    expect(table(page, 'layers').slice(1)).toEqual([
      ['conv1', '100', '300.3000from 0.6000'],
      ['conv2', '100', '100.1000'],
      ['all', '200', '400.2000from 0.3500'],
    ]);
    expect(page).toContain('Where a density has changed, the table also has the one after the first epoch.');
  });

  it('marks right and wrong answers by sign and word', () => {
    const samples = { ...flyingBird.samples, labels: [0, 1], predClean: [0, 1], predAdv: [0, 2] };
    const two = {
      ...samples,
      shape: [2, 3, 32, 32],
      clean: Array.from(samples.clean).slice(0, 6144),
      adv: Array.from(samples.adv).slice(0, 6144),
    };
    const verdicts = parsePage(renderReport([{ ...flyingBird, samples: two }]))
      .elements.filter(element => hasClass(element, 'verdict'))
      .map(textOf);
    expect(verdicts).toEqual(['✓ right: circle', '✓ right: circle', '× 15', '✓ right: square', '✗ wrong: triangle', '× 15']);
  });

  it('names runs of one label apart', () => {
    const page = renderReport([dense, { ...dense, folder: 'seed2' }, { ...dense, folder: 'seed2' }]);
    expect(table(page, 'results')[0].slice(1)).toEqual(['Dense (dense)', 'Dense (seed2)', 'Dense (seed2) 2']);
  });
});

const wild = fc.oneof(
  fc.double({ min: -1, max: 2, noNaN: true }),
  fc.double({ min: -1e30, max: 1e30 }),
  fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0),
);
const words = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.constantFrom('<script>alert(1)</script>', '"><img src=x>', "a & b 'c'", '<!--', ']]>', '\u0000\uD800', 'x'.repeat(300), ''),
);
const epochs = fc
  .tuple(
    fc.oneof({ weight: 9, arbitrary: fc.constantFrom(0, 1, 2, 7) }, fc.constant(200)),
    fc.array(wild, { minLength: 13, maxLength: 40 }),
    fc.boolean(),
  )
  .map(([count, values, counted]) =>
    Array.from({ length: count }, (_, i) => {
      const keys = Object.keys(dense.metrics[0]) as (keyof EpochMetrics)[];
      const line = Object.fromEntries(keys.map((key, k) => [key, values[(i * 13 + k) % values.length]]));
      const events = [{ iteration: values[0], prune: i % 2 === 0, grow: i % 3 === 0 }];
      const layers = ['a', 'b'].map((name, l) => ({ name, nnz: values[(i + l) % values.length], size: values[l] }));
      return { ...line, layers, events, ...(counted && { epoch: i + 1 }) } as EpochMetrics;
    }),
  );
const masks = fc.array(
  fc
    .tuple(
      words,
      fc.oneof(
        fc.tuple(
          fc.integer({ min: 1, max: 140 }),
          fc.integer({ min: 1, max: 9 }),
          fc.integer({ min: 1, max: 3 }),
          fc.constant(2),
        ),
        fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 300 })),
      ),
      fc.integer({ min: 1, max: 9 }),
    )
    .map(([name, shape, every]) => ({
      name,
      shape,
      keep: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => (i % every === 0 ? 1 : 0)),
    })),
  { maxLength: 2 },
);
const samples = fc
  .tuple(fc.integer({ min: 0, max: 3 }), fc.constantFrom(1, 3), fc.array(wild, { minLength: 1, maxLength: 30 }), words)
  .map(([n, channels, values, name]) => {
    const pixels = (shift: number): number[] =>
      Array.from({ length: n * channels * 20 }, (_, i) => values[(i + shift) % values.length]);
    const labels = Array.from({ length: n }, (_, i) => i - 1);
    return {
      shape: [n, channels, 4, 5],
      clean: pixels(0),
      adv: pixels(1),
      labels,
      predClean: labels,
      predAdv: labels,
      classes: [name],
    };
  });
const result = fc.tuple(fc.array(wild, { minLength: 17, maxLength: 17 }), words).map(([v, text]) => ({
  arch: text,
  dataset: text,
  mode: text,
  density: v[0],
  best: { epoch: v[1], testRa: v[2], testSa: v[3], valRa: v[4] },
  final: { testRa: v[5], testSa: v[6] },
  gap: { trainRa: v[9], testRa: v[10], gap: v[11] },
  flops: { inferenceDense: v[12], inferenceReal: v[13], trainingDense: v[14], trainingReal: v[15], formula: text },
  adapter: text,
  seconds: v[16],
  seed: v[0],
}));
const weights = fc.array(
  fc.tuple(words, fc.array(wild, { maxLength: 50 })).map(([name, values]) => ({ name, values: Float32Array.from(values) })),
  { maxLength: 20 },
);
const distances = fc
  .tuple(fc.integer({ min: 0, max: 12 }), fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean())
  .map(([n, largest, found]) => ({
    epochs: Array.from({ length: n }, (_, i) => i),
    matrix: Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => (largest * Math.abs(i - j)) / n)),
    threshold: 0.08,
    ...(found && n > 0 && { emerged: n - 1 }),
  }));
const anyRun: fc.Arbitrary<RunData> = fc.record(
  {
    folder: words,
    label: words,
    config: fc.dictionary(words, fc.jsonValue()),
    metrics: epochs,
    masks,
    weights,
    distances,
    result,
    samples,
  },
  { requiredKeys: ['folder', 'label', 'config', 'metrics', 'masks', 'weights'] },
);

describe('any runs', () => {
  it('make a well-formed page whose figures have finite coordinates and whose text is all there', () => {
    fc.assert(
      fc.property(fc.array(anyRun, { maxLength: 3 }), runs => {
        const { elements, errors } = parsePage(renderReport(runs));
        expect(errors).toEqual([]);
        expect(elements.filter(({ tagName }) => tagName === 'script')).toEqual([]);
        for (const { tagName, attrs } of elements)
          for (const { name, value } of attrs)
            if (/^(x|y|[xyr][12]?|cx|cy|d|transform|viewBox|points)$/.test(name))
              expect(/NaN|Infinity|undefined/.test(value) && `${tagName} ${name}="${value}"`).toBe(false);
        const heading = elements.find(({ tagName }) => tagName === 'h1')!;
        const readable = (text: string): string =>
          text.replace(/(?![\n\t])[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/gu, '\uFFFD');
        for (const run of runs) expect(textOf(heading)).toContain(readable(run.label));
      }),
      { numRuns: 40 },
    );
  });

  it('draws the distances of hundreds of epochs', () => {
    const epochs = Array.from({ length: 400 }, (_, i) => i);
    const matrix = epochs.map(a => epochs.map(b => Math.abs(a - b) / 1000));
    const drawn = sparsity([{ ...bare, style: 0, distances: { epochs, matrix, threshold: 0.08 } }]);
    expect(drawn?.figures).toHaveLength(1);
    expect(drawn?.markup.source).toContain('from 0 to 0.399;');
  });

  it('draws runs whose values differ by next to nothing on one axis', () => {
    const runs = [5e-324, -5e-324].map((ra, i) => ({
      ...dense,
      label: `run ${i}`,
      metrics: dense.metrics.map(m => ({ ...m, trainRa: ra, valRa: ra, testRa: ra })),
    }));
    expect(parsePage(renderReport(runs)).errors).toEqual([]);
  });
});
