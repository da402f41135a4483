import { describe, expect, it } from 'vitest';
import type { RunData, RunResult } from '../../src/report/run.ts';
import { resultTable, writeTable } from '../../src/report/table.ts';
import { madeRun } from './runs.ts';

/** A finished run with round numbers: `ra` is its best test RA. */
function run(label: string, seed: number, ra: number, config: Record<string, unknown> = {}): RunData & { result: RunResult } {
  const made = madeRun({ label, seed, epochs: 2, sa: 0.8, ra: 0.5, density: 0.2 });
  return {
    ...made,
    folder: `${label}-${seed}`,
    config: { ...made.config, seed, saveDir: `runs/${label}-${seed}`, ...config },
    result: {
      ...made.result,
      seed,
      density: 0.2,
      best: { epoch: 1, testRa: ra, testSa: 0.8, valRa: ra },
      final: { testRa: ra - 0.05, testSa: 0.82 },
      gap: { trainRa: 0.7, testRa: ra - 0.05, gap: 0.75 - ra },
      flops: { ...made.result.flops, inferenceReal: 277_711_360, trainingReal: 2.5e17 },
    },
  };
}

const three = [0.5, 0.52, 0.54].map((ra, seed) => run('Flying Bird', seed + 1, ra));
const single = run('Dense', 1, 0.511);

describe('the table of results', () => {
  it('has mean and sample deviation over seeds', () => {
    const [row, ...rest] = resultTable(three);
    expect(rest).toEqual([]);
    expect(row).toMatchObject({ method: 'Flying Bird', dataset: 'shapes', arch: 'resnet8', seeds: [1, 2, 3], finished: true });
    expect(row.values.raBest.mean).toBeCloseTo(0.52, 12);
    expect(row.values.raBest.deviation).toBeCloseTo(0.02, 12); // with n it would be 0.0163
    expect(row.values.raDifference.mean).toBeCloseTo(0.05, 12);
    expect(row.values.raDifference.deviation).toBeCloseTo(0, 12);
    expect(row.values.saDifference.mean).toBeCloseTo(-0.02, 12);
    expect(row.values.gap.mean).toBeCloseTo(0.23, 12);
  });

  it('keeps apart what differs in more than its seed and where it was run', () => {
    const rows = resultTable([
      ...three,
      run('Flying Bird', 4, 0.5, { growth: 'gradient' }),
      run('Flying Bird', 5, 0.5, { adapter: 'gpu', printFreq: 7, data: 'elsewhere' }),
      single,
      { ...run('Flying Bird', 6, 0.5), result: undefined },
      ...['sgd, unstructured', 'pgd, unstructured'].map((stages, i) => {
        const bird = run('Robust Bird', i, 0.5);
        return { ...bird, result: { ...bird.result, stages } };
      }),
    ]);
    expect(rows.map(({ method, seeds, finished }) => [method, seeds, finished])).toEqual([
      ['Flying Bird (Flying Bird-1)', [1, 2, 3, 5], true],
      ['Flying Bird (Flying Bird-4)', [4], true],
      ['Dense', [1], true],
      ['Flying Bird (Flying Bird-6)', [6], false],
      ['Robust Bird (Robust Bird-0)', [0], true],
      ['Robust Bird (Robust Bird-1)', [1], true],
    ]);
  });

  it('keeps apart runs on different folders of images, however a path is written', () => {
    const on = (seed: number, data: string) => {
      const made = run('Dense', seed, 0.5, { dataset: 'folder', data });
      return { ...made, result: { ...made.result, dataset: 'folder' } };
    };
    const rows = resultTable([on(1, 'data/a'), on(2, './data/a/'), on(3, 'data/b')]);
    expect(rows.map(({ method, dataset, seeds }) => [method, dataset, seeds])).toEqual([
      ['Dense (Dense-1)', 'folder', [1, 2]],
      ['Dense (Dense-3)', 'folder', [3]],
    ]);
  });

  it('names no folders where density, data set or architecture tell rows apart', () => {
    const rows = resultTable([0.1, 0.2].flatMap(density => [1, 2].map(seed => run('Flying Bird', seed, 0.5, { density }))));
    expect(rows.map(({ method, seeds }) => [method, seeds])).toEqual([
      ['Flying Bird', [1, 2]],
      ['Flying Bird', [1, 2]],
    ]);
  });

  it('takes no seed twice into one mean', () => {
    expect(resultTable([...three, run('Flying Bird', 2, 0.9)]).map(row => row.seeds)).toEqual([[1, 2, 3], [2]]);
  });

  it('is Markdown', () => {
    const text = writeTable(resultTable([single, ...three, run('a|b', 1, 0.4, { arch: 'resnet8' })]), 'markdown');
    expect(text.split('\n')).toEqual([
      '| Method | Density | Seeds | RA best | RA final | RA diff. | SA best | SA final | SA diff. | Training FLOPs | Inference FLOPs | Gap |',
      '| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
      '| Dense | 0.2000 | 1 | 51.10 | 46.10 | +5.00 | 80.00 | 82.00 | −2.00 | 250 P | 277.7 M | +23.90 |',
      '| Flying Bird | 0.2000 ± 0.0000 | 1, 2, 3 | 52.00 ± 2.00 | 47.00 ± 2.00 | +5.00 ± 0.00 | 80.00 ± 0.00 | 82.00 ± 0.00 | −2.00 ± 0.00 | 250 P ± 0 | 277.7 M ± 0 | +23.00 ± 2.00 |',
      '| a\\|b | 0.2000 | 1 | 40.00 | 35.00 | +5.00 | 80.00 | 82.00 | −2.00 | 250 P | 277.7 M | +35.00 |',
      '',
      'RA and SA in %; diff. (best - final) and gap (train RA - test RA of the final model) in percentage points.',
      'FLOPs are multiply-adds at the real densities: of the whole training, and of one image at inference.',
      'Several seeds: mean ± sample standard deviation (n - 1).',
    ]);
  });

  it('in Markdown names data set and architecture where they differ', () => {
    const other = run('Dense', 2, 0.4);
    const rows = resultTable([single, { ...other, result: { ...other.result, dataset: 'cifar10', arch: 'resnet18' } }]);
    expect(writeTable(rows, 'markdown').split('\n')[0]).toContain('| Method | Data set | Architecture | Density | RA best');
    expect(writeTable(rows, 'markdown')).not.toContain('deviation');
  });

  it('in Markdown says how exact the accuracies of few images are', () => {
    const limited = resultTable([run('Dense', 1, 0.5, { evalLimit: 256 })]);
    expect(writeTable(limited, 'markdown').split('\n').at(-1)).toBe(
      'Accuracies are of at most 256 images each; the standard error of one is about 3.1 points.',
    );
    expect(JSON.parse(writeTable(limited, 'json')).rows[0].evalLimit).toBe(256);
  });

  it('is CSV, quoted where a name needs it', () => {
    const [header, first, second] = writeTable(resultTable([run('a, "b"', 1, 0.5), ...three]), 'csv')
      .split('\n')
      .map(line => line.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/));
    expect(header.slice(0, 11)).toEqual(
      'method,dataset,arch,finished,runs,seeds,density,density_sd,ra_best,ra_best_sd,ra_final'.split(','),
    );
    expect(header).toHaveLength(6 + 2 * 10);
    expect(first.slice(0, 10)).toEqual(['"a, ""b"""', 'shapes', 'resnet8', 'yes', '1', '1', '0.2', '', '0.5', '']);
    expect(second.slice(4, 6)).toEqual(['3', '1 2 3']);
    expect([Number(second[8]), Number(second[9])].map(value => value.toFixed(9))).toEqual(['0.520000000', '0.020000000']);
  });

  it('is JSON, null where nothing was measured', () => {
    const unfinished = { ...single, result: undefined };
    const { deviation, rows } = JSON.parse(writeTable(resultTable([unfinished, ...three]), 'json'));
    expect(deviation).toBe('sample');
    expect(rows[0]).toMatchObject({ method: 'Dense', finished: false, trainingFlops: { mean: null }, seeds: [1] });
    expect(rows[1].raBest).toEqual({ mean: expect.closeTo(0.52, 12), deviation: expect.closeTo(0.02, 12) });
  });
});
