/** Tables of suites in which libraries take turns: a row for each of them, with how many times as long as Sparrow it takes. */
import { ceilingsOf, convIntensity, roofAt } from '../../report/roof.ts';
import { formatTable } from '../table.ts';
import type { PeerResult } from './contest.ts';
import type { ConvPass } from './conv.ts';
import { shapeTitle } from './conv-shapes.ts';
import type { NormPass } from './norm.ts';
import type { PassPeer, PassResult, SmallestRatio } from './passes.ts';
import type { BenchOutcome, ConvOutcome, NormOutcome, StepOutcome } from './run.ts';
import { significant } from './text-numbers.ts';

const convPasses: Readonly<Record<ConvPass, string>> = {
  forward: 'forward',
  inputGradient: 'input gradient',
  weightGradient: 'weight gradient',
  all: 'all three',
};
const normPasses: Readonly<Record<NormPass, string>> = { forward: 'forward', all: 'forward + backward' };

/** GFLOP/s by shape and library, and the share of the adapter's roof that Sparrow's three passes reach. */
export function convText({ batchSize, shapes, smallest, limits }: ConvOutcome, precision: BenchOutcome['precision']): string {
  // matrix units, where f16 runs, are not what the measured ceiling is of
  const ceilings = precision === 'f32' ? ceilingsOf(limits) : undefined;
  const rows = shapes.map(r => ({
    ...r,
    title: shapeTitle(r.sizes, batchSize),
    share: ceilings && r.own.all.gflops / roofAt(ceilings, convIntensity(r.sizes)),
  }));
  return contestText(`GFLOP/s, batch ${batchSize}`, convPasses, rows, rate => rate.gflops, smallest);
}

/** GB/s by shape and library, and the share of the bandwidth of reading that Sparrow reaches forward and backward. */
export function normText({ batchSize, shapes, smallest, limits }: NormOutcome): string {
  const ceilings = ceilingsOf(limits);
  const rows = shapes.map(r => ({ ...r, title: r.shape, share: ceilings && r.own.all.gbs / ceilings.gbs }));
  return contestText(`batch norm, GB/s, batch ${batchSize}`, normPasses, rows, rate => rate.gbs, smallest);
}

type Row<P extends string, R> = PassResult<P, R> & { readonly title: string; readonly share: number | undefined };

function contestText<P extends string, R>(
  title: string,
  passes: Readonly<Record<P, string>>,
  rows: readonly Row<P, R>[],
  speed: (rate: R) => number,
  smallest: readonly SmallestRatio<P>[] | undefined,
): string {
  const names = Object.keys(passes) as P[];
  const header = [title, ...names.map(pass => passes[pass]), 'of the roof'];
  const own = (row: Row<P, R>) => [
    ...names.map(pass => significant(speed(row.own[pass]))),
    row.share === undefined ? '' : `${(100 * row.share).toFixed(0)} %`,
  ];
  if (!smallest)
    return formatTable(
      header,
      rows.map(row => [row.title, ...own(row)]),
    );
  const cell = (peer: PassPeer<P, R>, pass: P) => {
    const rate = peer.rates[pass];
    return rate ? `${significant(speed(rate))} (${peer.ratio[pass]!.median.toFixed(2)}x)` : '-';
  };
  const lines = rows.flatMap(row => [
    [row.title, 'Sparrow', ...own(row)],
    ...row.peers!.map(peer => ['', peer.name, ...names.map(pass => ('error' in peer ? 'failed' : cell(peer, pass))), '']),
  ]);
  const table = formatTable([title, '', ...header.slice(1)], lines);
  const nearest = smallest.map(s => `  ${s.name}, ${passes[s.pass]}: ${s.ratio.toFixed(2)}x at ${s.shape}`);
  return [
    table,
    '(2.00x): takes twice as long as Sparrow, median of the turns',
    nearest.length > 0 ? ['The smallest ratios:', ...nearest].join('\n') : '',
    librariesText(rows.flatMap(row => row.peers!.map(peer => ({ peer, at: row.title })))),
  ]
    .filter(Boolean)
    .join('\n\n');
}

/** The libraries' versions, how far their numbers are from Sparrow's, and what failed where. */
function librariesText(found: readonly { peer: PeerResult<PassPeer<string, unknown>>; at: string }[]): string {
  const names = [...new Set(found.map(({ peer }) => peer.name))];
  const lines = names.map(name => {
    const of = found.filter(({ peer }) => peer.name === name);
    const differences = of.map(({ peer }) => ('error' in peer ? undefined : peer.difference)).filter(d => d !== undefined);
    const agreement = differences.length > 0 ? `; results within ${Math.max(...differences).toExponential(1)} of Sparrow's` : '';
    const version = of.map(({ peer }) => peer.version).find(Boolean);
    return `${name}${version ? ` ${version}` : ''}${agreement}`;
  });
  const failures = found.flatMap(({ peer, at }) => ('error' in peer ? [`${peer.name} failed at ${at}: ${peer.error}`] : []));
  return [...lines, ...failures].join('\n');
}

/** The libraries' steps beside Sparrow's, which the table above tells more of. */
export function stepPeersText({ timing, firstEqualStepSeconds, losses, peers }: StepOutcome): string {
  const seconds = (ms: number) => (ms / 1000).toPrecision(4);
  const lossesText = (two: readonly number[] | undefined) => two?.map(l => l.toFixed(5)).join(', ') ?? '-';
  const own = ['Sparrow', seconds(timing.median), '', firstEqualStepSeconds!.toFixed(2), lossesText(losses), ''];
  const rows = peers!.map(peer => {
    const name = `${peer.name} ${peer.version}`.trim();
    if ('error' in peer) return [name, 'failed', '', '', '', ''];
    const { ratio, difference, losses: theirs } = peer;
    return [
      name,
      seconds(peer.timing.median),
      `${ratio.median.toFixed(2)}x (${ratio.min.toFixed(2)} - ${ratio.max.toFixed(2)})`,
      peer.firstStepSeconds?.toFixed(2) ?? '-',
      lossesText(theirs),
      difference?.toExponential(1) ?? '-',
    ];
  });
  const table = formatTable(
    ['in turns', 'seconds a step', 'times as long', 'first equal step', 'losses of two equal steps', 'difference'],
    [own, ...rows],
  );
  const failures = peers!.flatMap(peer => ('error' in peer ? [`${peer.name} failed: ${peer.error}`] : []));
  return [table, ...failures].join('\n');
}
