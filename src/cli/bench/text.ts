/** What `sparrow bench` prints of its results. */
import { formatTable, profileTable } from '../table.ts';
import { shapeTitle } from './conv-shapes.ts';
import type { KernelResult } from './kernel.ts';
import type { LaunchResult } from './launch.ts';
import type { LimitResult } from './limits.ts';
import type { MemoryResult } from './memory.ts';
import type { BenchOutcome, Outcome, SparseOutcome, StepOutcome, TuneOutcome } from './run.ts';
import { convText, normText, stepPeersText } from './text-contest.ts';
import { significant } from './text-numbers.ts';

/** Where it was measured, the numbers, and where it was asked for the profile. */
export function outcomeText(outcome: BenchOutcome): string {
  const { adapter, node, commit, measuredKernels } = outcome;
  const chosen = measuredKernels ? `; ${measuredKernels} kernels chosen by measuring` : '';
  const where = `${adapter.kind}: ${adapter.description || adapter.architecture}; Node ${node}${commit ? `; commit ${commit}` : ''}${chosen}`;
  return [where, tableOf(outcome, outcome.precision), ...(outcome.profile ? [profileTable(outcome.profile)] : [])].join('\n\n');
}

function tableOf(outcome: Outcome, precision: BenchOutcome['precision']): string {
  if ('kernel' in outcome) return kernelText(outcome.cases);
  if ('tune' in outcome) return tuneText(outcome);
  switch (outcome.suite) {
    case 'conv':
      return convText(outcome, precision);
    case 'norm':
      return normText(outcome);
    case 'step':
      return stepText(outcome);
    case 'sparse':
      return sparseText(outcome);
    case 'launch':
      return launchText(outcome);
    case 'memory':
      return memoryText(outcome);
    case 'limits':
      return limitsText(outcome.limits);
    case 'peers':
      return outcome.parts.map(part => tableOf(part, precision)).join('\n\n');
  }
}

function kernelText(cases: readonly KernelResult[]): string {
  const rows = cases.map(c => [
    c.title,
    c.ok ? 'ok' : 'FAILED',
    c.error.toExponential(1),
    c.tolerance.toExponential(0),
    c.timing.median.toFixed(3),
    `${significant(c.rate.median)} ${c.unit}`,
    `${significant(c.rate.min)} - ${significant(c.rate.max)}`,
  ]);
  return formatTable(['case', 'check', 'error', 'allowed', 'ms', 'median', 'range'], rows);
}

function tuneText(outcome: TuneOutcome): string {
  const { rows, cache, seconds, arch, width, batchSize } = outcome;
  const cells = rows.map(({ shape, pass, default: usual, best, variant }) => {
    if (usual === undefined || best === undefined) return [shape, pass, '', '', '', 'not measured'];
    const how = variant
      ? Object.entries(variant).map(([name, value]) => (name === 'kernel' ? value : `${name} ${value}`))
      : ['default'];
    return [shape, pass, usual.toPrecision(3), best.toPrecision(3), (usual / best).toFixed(2), how.join(' ')];
  });
  const header = [
    `${arch}, width ${width}, batch ${batchSize}${masksText(outcome)}`,
    'pass',
    'ms by default',
    'ms at best',
    'ratio',
    'kernel',
  ];
  const count = (state: string) => rows.filter(row => row.state === state).length;
  const left = count('left') ? `, ${count('left')} left when the time was used up: run it again for them` : '';
  const refused = rows.flatMap(row => row.refused.map(why => `refused: ${row.shape}, ${row.pass}: ${why}`));
  const summary = `${count('measured')} measured in ${seconds.toFixed(0)} s, ${count('known')} known from before${left}; kept in ${cache}`;
  return [formatTable(header, cells), ...refused, summary].join('\n\n');
}

function memoryText({ early, late, ok, secondsPerStep }: MemoryResult): string {
  const row = (name: string, of: (m: typeof early) => string) => [name, of(early), of(late)];
  const table = formatTable(
    ['', `after step ${early.step}`, `after step ${late.step}`],
    [
      row('live bytes', m => String(m.live)),
      row('live', m => mib(m.live)),
      row('peak', m => mib(m.peak)),
      row('waiting in the pool', m => mib(m.pooled)),
      row('buffers made', m => String(m.buffersMade)),
    ],
  );
  const verdict = ok ? 'steady: ok' : 'steady: FAILED';
  const between = `${late.buffersMade - early.buffersMade} buffers made in between`;
  return `${table}\n\n${verdict}, ${between}, ${secondsPerStep.toFixed(3)} s a step`;
}

function stepText(r: StepOutcome): string {
  const seconds = (ms: number) => (ms / 1000).toPrecision(4);
  const { timing, gflops } = r;
  const rows = [
    ['seconds a step', `${seconds(timing.median)} (${seconds(timing.min)} - ${seconds(timing.max)}, ${timing.samples} steps)`],
    ['images/s', significant(r.imagesPerSecond)],
    ['GFLOP/s', significant(gflops.dense) + (r.density < 1 ? ` as if dense, ${significant(gflops.real)} of active weights` : '')],
    [r.peers ? 'first step, kernels compiled' : 'first step', `${r.firstStepSeconds.toFixed(2)} s`],
    ['memory', `${mib(r.peak)} at most, ${mib(r.live)} between steps, ${mib(r.held)} of buffers`],
    ['of a step', `${r.dispatches} dispatches, ${significant(r.submits)} submits, ${significant(r.buffersMade)} buffers made`],
  ];
  const table = formatTable([`${r.arch}, width ${r.width}${masksText(r)}`, `batch ${r.batchSize}, PGD-${r.trainStep}`], rows);
  return r.peers ? `${table}\n\n${stepPeersText(r)}` : table;
}

/** ', density 0.200 (igq)'; nothing without masks. */
const masksText = ({ density = 1, sparseInit }: Pick<TuneOutcome, 'density' | 'sparseInit'>): string =>
  density < 1 ? `, density ${density.toPrecision(3)} (${sparseInit})` : '';

function sparseText({ shapes, batchSize }: SparseOutcome): string {
  const cells = shapes.flatMap(({ sizes, rows }) =>
    rows.map(({ density, timing, ratio }) => [
      shapeTitle(sizes, batchSize),
      density === 1 ? 'dense' : String(density),
      timing.forward.median.toPrecision(3),
      ratio.forward.toFixed(2),
      timing.inputGradient.median.toPrecision(3),
      ratio.inputGradient.toFixed(2),
    ]),
  );
  const header = ['convolution', 'density', 'forward, ms', 'of dense', 'input gradient, ms', 'of dense'];
  return formatTable(header, cells);
}

function launchText({ host, finished, dispatches, submits, buffersMade }: LaunchResult): string {
  const row = (name: string, t: LaunchResult['host']) => [name, ...[t.median, t.min, t.max].map(significant)];
  const table = formatTable(
    ['microseconds a dispatch', 'median', 'min', 'max'],
    [row('JavaScript', host), row('until done on the device', finished)],
  );
  const step = `${dispatches} dispatches, ${significant(submits)} submits, ${significant(buffersMade)} buffers made`;
  return `${table}\n\na PGD-10 step: ${step}`;
}

function limitsText(limits: readonly LimitResult[]): string {
  const rows = limits.map(l => [l.title, l.unit === 'us' ? l.value.toPrecision(3) : significant(l.value), l.unit]);
  return formatTable(['at most', '', ''], rows);
}

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(2)} MiB`;
