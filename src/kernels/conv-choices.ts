/** What was measured of convolutions, by pass and sizes; and which passes a piece of work meets, for the tuner to measure. */
import type { Device } from '../device/index.ts';
import { choicesOf, type Variant } from './choices.ts';
import { type ConvShape, forwardPass, inputGradPasses } from './conv-pass.ts';
import { type PassTile, passCandidates, type WeightTile, weightCandidates } from './conv-tiles.ts';

export type PassName = 'forward' | 'input gradient' | 'weight gradient';

/** One pass of a convolution. */
export interface ConvWork {
  readonly pass: PassName;
  readonly shape: ConvShape;
}

/** What its choice is kept under, whatever the density: `conv forward [8,64,32,32] * [64,64,3,3], stride 1, padding 1`. */
export function convKey({ pass, shape: s }: ConvWork): string {
  const sizes = `[${s.n},${s.ci},${s.h},${s.w}] * [${s.co},${s.ci / s.groups},${s.kh},${s.kw}]`;
  const rare = `${s.dilation > 1 ? `, dilation ${s.dilation}` : ''}${s.groups > 1 ? `, groups ${s.groups}` : ''}`;
  return `conv ${pass} ${sizes}, stride ${s.stride}, padding ${s.padding}${rare}`;
}

let met: Map<string, ConvWork> | undefined;

/** The passes of convolutions that `work` launches or captures, each once, with dense weights. */
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
  met?.set(convKey(work), { pass: work.pass, shape: { ...work.shape, density: undefined } });
  const choices = choicesOf(device);
  if (choices.size === 0) return null; // the usual case need not make keys
  const variant = choices.get(convKey(work))?.variant;
  return (variant && candidates().find(c => isVariant(c, variant))) ?? null;
}

const isVariant = (candidate: object, variant: Variant): boolean =>
  Object.keys(variant).length === Object.keys(candidate).length &&
  Object.entries(candidate).every(([name, value]) => variant[name] === value);

/** The tile that was the fastest for a forward pass or an input gradient, or null for the default. */
export function chosenPassTile(device: Device, pass: 'forward' | 'input gradient', shape: ConvShape): PassTile | null {
  return chosen(device, { pass, shape }, () => convCandidates(device, { pass, shape }) as PassTile[]);
}

/** The tile that was the fastest for a weight gradient, or null for the default. */
export function chosenWeightTile(device: Device, shape: ConvShape): WeightTile | null {
  return chosen(device, { pass: 'weight gradient', shape }, () => weightCandidates(device, shape));
}

/** What a pass may run with on a device instead of its default. */
export function convCandidates(device: Device, { pass, shape }: ConvWork): (PassTile | WeightTile)[] {
  if (pass === 'weight gradient') return weightCandidates(device, shape);
  const [first] = pass === 'forward' ? [forwardPass(shape)] : inputGradPasses(shape).passes;
  return first ? passCandidates(device, first) : [];
}
