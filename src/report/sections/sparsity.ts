/** Masks over the course of training: how many weights they keep, how much they move, and when a ticket emerges from them. */
import type { Distances } from '../distances.ts';
import type { Figure } from '../figure.ts';
import { plain } from '../format.ts';
import { heatFigure } from '../heatFigure.ts';
import { lineFigure, type Series } from '../lineFigure.ts';
import { html, type Part } from '../markup.ts';
import type { EpochMetrics } from '../run.ts';
import { type Section, type StyledRun, section, titleFor } from './section.ts';

/** Nothing where no run has masks or distances between them. */
export function sparsity(runs: StyledRun[]): Section | undefined {
  const figures = [
    ...(runs.some(hasMoved) ? kept(runs.filter(isMasked), runs.length === 1) : []),
    curve('Death rate r', 'fraction of active weights', runs.filter(followsDeathRate), epoch => epoch.deathRate),
    curve('Mask distance', weightsAxis, runs.filter(isMasked), epoch => epoch.maskDistance),
    ...runs.map(run => distanceMap(run, runs)),
  ].filter(figure => figure !== undefined);
  if (figures.length === 0) return undefined;
  return section('sparsity', 'Masks over training', lead(runs), html`<div class="figures">${figures}</div>`, figures);
}

function lead(runs: StyledRun[]): Part[] {
  const parts = [
    runs.some(hasMoved) &&
      'Density and ITOP rate are fractions of all maskable weights. The ITOP rate counts the weights that were active at any time so far.',
    runs.some(followsDeathRate) &&
      `The death rate r at the end of each epoch is the schedule’s fraction of the active weights that an update drops${runs.some(run => run.config.fbp) ? ', before what Flying Bird+ prunes further' : ''}.`,
    runs.some(run => run.metrics.some(epoch => Number.isFinite(epoch.maskDistance))) &&
      'The mask distance is the normalised Hamming distance between the masks at the ends of this epoch and of the one before.',
    runs.some(run => run.distances) &&
      'The map has the normalised Hamming distances between the masks that any two epochs of Robust Bird’s stage 1 would draw.',
    runs.some(run => run.distances?.emerged !== undefined) &&
      'The frame is around those that were close enough for the ticket to emerge.',
  ];
  return [parts.filter(part => part !== false).join(' ')];
}

const isMasked = ({ metrics }: StyledRun): boolean => metrics.some(epoch => epoch.layers);
/** Whether more, fewer or other weights became active in the course of training: a fixed mask has no curves. */
const hasMoved = ({ metrics }: StyledRun): boolean =>
  metrics.some(({ layers, density, fired }) => layers && (density !== metrics[0].density || fired !== metrics[0].fired));
/** Whether updates drop by the death rate: a mask that moves, unless its weights die by a threshold. */
export const followsDeathRate = ({ config, metrics }: StyledRun): boolean =>
  config.death !== 'threshold' && metrics.some(epoch => epoch.events?.length);

const weightsAxis = 'fraction of the weights';

/** A page of one run: density and ITOP rate together, as they have one unit. Of several: a figure each. */
function kept(runs: StyledRun[], alone: boolean): (Figure | undefined)[] {
  if (!alone || runs.length === 0)
    return [
      curve('Density', weightsAxis, runs, epoch => epoch.density),
      curve('ITOP rate: weights ever active', weightsAxis, runs, epoch => epoch.fired),
    ];
  const series = [
    { name: 'active: density', style: 0, points: pointsOf(runs[0], epoch => epoch.density) },
    { name: 'ever active: ITOP rate', style: 1, points: pointsOf(runs[0], epoch => epoch.fired) },
  ];
  return [draw('Weights active, and ever active', weightsAxis, series)];
}

function curve(title: string, axis: string, runs: StyledRun[], of: (epoch: EpochMetrics) => number): Figure | undefined {
  return draw(
    title,
    axis,
    runs.map(run => ({ name: run.label, style: run.style, points: pointsOf(run, of) })),
  );
}

const pointsOf = ({ metrics }: StyledRun, of: (epoch: EpochMetrics) => number): [number, number][] =>
  metrics.map(epoch => [epoch.epoch, of(epoch)]);

const draw = (title: string, axis: string, series: Series[]): Figure | undefined =>
  lineFigure({ title, x: { name: 'epoch', format: String }, y: { name: axis, format: value => plain(value) }, series });

/** Masks that a ticket is told by: the newest and the four before it (method of the early-bird ticket). */
const windowLength = 5;

function distanceMap(run: StyledRun, runs: StyledRun[]): Figure | undefined {
  if (!run.distances) return undefined;
  const { epochs, matrix, threshold, emerged } = run.distances;
  const last = emerged === undefined ? -1 : epochs.indexOf(emerged);
  const largest = Math.max(threshold, ...matrix.map(row => Math.max(...row)));
  const found = emerged === undefined ? 'No ticket emerged' : `The ticket emerged at epoch ${plain(emerged)}`;
  return heatFigure({
    title: titleFor('Distances between masks', run, runs),
    x: { name: 'epoch', format: plain, values: epochs },
    y: { name: 'epoch', names: epochs.map(plain) },
    cells: matrix,
    square: true,
    colour: {
      name: 'Hamming distance (fraction of the entries)',
      format: plain,
      domain: [0, largest],
      mark: { value: threshold, name: `threshold ${plain(threshold)}` },
    },
    ...(last >= 0 && { box: { first: Math.max(0, last - windowLength + 1), last } }),
    note: last >= 0 ? `${found} (framed)` : found,
    description: `Normalised Hamming distance between the masks of ${epochs.length} epochs, from 0 to ${plain(largest)}; the threshold is ${plain(threshold)}. ${settling(run.distances)}${found}.`,
  });
}

/** What decides whether a mask is a ticket, in words: the whole map would take too long to hear. */
function settling({ epochs, matrix }: Distances): string {
  const farthest = epochs.map((epoch, i) => {
    const before = matrix[i].slice(Math.max(0, i - windowLength + 1), i);
    return `${plain(Math.max(...before))} at epoch ${plain(epoch)}`;
  });
  return epochs.length > 1 ? `From the farthest of the ${windowLength - 1} masks before: ${farthest.slice(1).join(', ')}. ` : '';
}
