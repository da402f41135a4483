/** What was measured of convolutions, by pass and sizes; and which passes a piece of work meets, for the tuner to measure. */
import type { Device } from '../device/index.ts';
import { choicesOf, type Variant } from './choices.ts';
import { type ConvShape, launchedForward, launchedInputGrad } from './conv-pass.ts';
import {
  densityClass,
  type PassTile,
  passCandidates,
  sparseCandidates,
  type WeightTile,
  weightCandidates,
} from './conv-tiles.ts';

export type PassName = 'forward' | 'input gradient' | 'weight gradient';

/** One pass of a convolution. */
export interface ConvWork {
  readonly pass: PassName;
  readonly shape: ConvShape;
}

/** What its choice is kept under: `conv forward [8,64,32,32] * [64,64,3,3], stride 1, padding 1`, where weights count as sparse `, density 0.1`. */
export function convKey({ pass, shape: s }: ConvWork): string {
  const sizes = `[${s.n},${s.ci},${s.h},${s.w}] * [${s.co},${s.ci / s.groups},${s.kh},${s.kw}]`;
  const rare = `${s.dilation > 1 ? `, dilation ${s.dilation}` : ''}${s.groups > 1 ? `, groups ${s.groups}` : ''}`;
  const sparse = s.density === undefined ? '' : `, density ${s.density}`;
  return `conv ${pass} ${sizes}, stride ${s.stride}, padding ${s.padding}${rare}${sparse}`;
}

let met: Map<string, ConvWork> | undefined;

/** The passes of convolutions that `work` launches or captures, each once, with the density that its kernel is chosen for. */
export function convolutionsIn(work: () => void): ConvWork[] {
  const found = new Map<string, ConvWork>();
  met = found;
  try {
    work();
  } finally {
    met = undefined;
  }
  return [...found.values()];
}

/** The measured choice among candidates; null where nothing was measured, or the default was the fastest. */
function chosen<T extends object>(device: Device, work: ConvWork, candidates: () => readonly T[]): T | null {
  met?.set(convKey(work), work);
  const choices = choicesOf(device);
  if (choices.size === 0) return null; // the usual case need not make keys
  const variant = choices.get(convKey(work))?.variant;
  return (variant && candidates().find(c => isVariant(c, variant))) ?? null;
}

const isVariant = (candidate: object, variant: Variant): boolean =>
  Object.keys(variant).length === Object.keys(candidate).length &&
  Object.entries(candidate).every(([name, value]) => variant[name] === value);

type Pass = Exclude<PassName, 'weight gradient'>;

/** The tile that was the fastest for a forward pass or an input gradient about as dense, else for dense weights; or null for the default. */
export function chosenPassTile(device: Device, pass: Pass, shape: ConvShape): PassTile | null {
  const dense = chosenForDense(device, pass, shape);
  const density = densityClass(device, shape.density);
  return (density === undefined ? null : chosenFor(device, pass, shape, density)) ?? dense;
}

/** The same for dense weights, whatever the density: what sparse ones run with too where nothing was measured for their class, or nothing was faster. */
export function chosenForDense(device: Device, pass: Pass, shape: ConvShape): PassTile | null {
  return chosenFor(device, pass, shape, undefined);
}

function chosenFor(device: Device, pass: Pass, shape: ConvShape, density: number | undefined): PassTile | null {
  const work: ConvWork = { pass, shape: { ...shape, density } };
  return chosen(device, work, () => convCandidates(device, work) as PassTile[]);
}

/** The tile that was the fastest for a weight gradient, which is of all weights, masked or not; or null for the default. */
export function chosenWeightTile(device: Device, shape: ConvShape): WeightTile | null {
  const work: ConvWork = { pass: 'weight gradient', shape: { ...shape, density: undefined } };
  return chosen(device, work, () => weightCandidates(device, shape));
}

/** What a pass may run with on a device instead of its default. */
export function convCandidates(device: Device, { pass, shape }: ConvWork): (PassTile | WeightTile)[] {
  if (pass === 'weight gradient') return weightCandidates(device, shape);
  const [first] = pass === 'forward' ? [launchedForward(device, shape)] : launchedInputGrad(shape).passes;
  if (!first) return [];
  if (densityClass(device, shape.density) === undefined) return passCandidates(device, first);
  return sparseCandidates(device, first, chosenForDense(device, pass, shape));
}
