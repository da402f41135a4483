/**
 * Choosing by measuring: the variants of a kernel family take turns on the device, and the fastest is kept for its key. Nothing here knows what
 * the variants are; `conv-tuner.ts` brings the tiles of convolutions.
 *
 * Times are noisy, above all on adapters that share their processor with everything else. So turns are taken, what disturbs the machine
 * disturbs all; medians decide; and because the least of many noisy medians looks better than it is, the fastest meets the default once more,
 * alone, and must win both times.
 */
import { type Capture, type Device, OutOfMemoryError, ValidationError } from '../device/index.ts';
import { elapsed, spread } from '../device/time.ts';
import { type Choice, choicesOf, useChoices, type Variant } from './choices.ts';

/** Milliseconds that a sample should last at least. */
const SAMPLE = 40;
const MOST_RUNS = 1000;
/** Samples of each that stays in. */
const ROUNDS = 5;
/** What takes more than so many times the fastest is out. */
const HOPELESS = 1.5;
/** A challenger has to be faster than the default by this factor in the median, and in so many of its turns, or the default stays. */
const MARGIN = 1.03;
const TURNS_WON = 0.8;

/** One variant with its captured work and the milliseconds of a run in each sample. */
interface Entrant {
  readonly variant: Variant | null;
  readonly capture: Capture;
  runs: number;
  times: number[];
}

/** What was measured now, with what is to be told of it. */
export interface Contest extends Choice {
  /** Variants that were tried beside the default. */
  readonly tried: number;
  /** Variants that this adapter refused, each with the reason. */
  readonly refused: readonly string[];
}

/**
 * Measures which variant does a work fastest, and has the device use it from now on.
 * @param key names the work, its sizes included: what the kernel family looks its choice up by
 * @param candidates what may be chosen instead of the default; one that the adapter refuses (limits, compiler) is left out
 * @param record captures the work of a variant, or of the default (null), on buffers of its own
 * @param repeats how often a capture does the work; times are of one
 * @throws the error of the default, where that cannot run; DeviceLostError
 */
export async function choose(
  device: Device,
  key: string,
  candidates: readonly Variant[],
  record: (variant: Variant | null) => Capture,
  repeats = 1,
): Promise<Contest> {
  const captures: Capture[] = [];
  const entrants: Entrant[] = [];
  const refused: string[] = [];
  try {
    for (const variant of [null, ...candidates])
      await unlessRefused(variant, refused, async () => {
        const capture = record(variant);
        captures.push(capture);
        await device.sync(); // tells of buffers without memory while it is known whose they are
        entrants.push({ variant, capture, runs: 1, times: [] });
      });
    // all compile at once, and only then is anything timed
    await Promise.allSettled(entrants.map(e => e.capture.ready()));
    const ready: Entrant[] = [];
    for (const e of entrants)
      await unlessRefused(e.variant, refused, async () => {
        await e.capture.ready();
        await warmUp(device, e);
        ready.push(e);
      });
    const { variant, ...times } = await fastest(device, ready);
    const each = (time: number) => Number((time / repeats).toPrecision(4));
    const choice = { variant, best: each(times.best), default: each(times.default) };
    useChoices(device, new Map([...choicesOf(device), [key, choice]]));
    return { ...choice, tried: ready.length - 1, refused };
  } finally {
    for (const capture of captures) capture.dispose();
  }
}

/** Runs a preparation; where the device refuses a candidate the reason is noted, and it takes no further part. */
async function unlessRefused(variant: Variant | null, refused: string[], prepare: () => Promise<void>): Promise<void> {
  try {
    await prepare();
  } catch (error) {
    const refusal = error instanceof ValidationError || error instanceof OutOfMemoryError;
    if (variant === null || !refusal) throw error;
    refused.push(`${Object.values(variant).join(' ')}: ${error.message}`);
  }
}

/** Drivers do much of their work at the first run. Then one run tells how many make a sample. */
async function warmUp(device: Device, e: Entrant): Promise<void> {
  const run = () => e.capture.run();
  await elapsed(device, run, 1);
  e.runs = Math.max(1, Math.min(MOST_RUNS, Math.ceil(SAMPLE / (await elapsed(device, run, 1)))));
}

/** The first entrant is the default. */
async function fastest(device: Device, [byDefault, ...challengers]: readonly Entrant[]): Promise<Choice> {
  let left = challengers;
  for (let round = 0; round < ROUNDS; round++) {
    await takeTurns(device, [byDefault, ...left]);
    const best = Math.min(...[byDefault, ...left].map(median));
    left = left.filter(e => median(e) <= HOPELESS * best);
  }
  const best = left.reduce<Entrant | undefined>((a, b) => (a && median(a) <= median(b) ? a : b), undefined);
  const stays = (): Choice => ({ variant: null, best: median(byDefault), default: median(byDefault) });
  if (!best || !beats(best.times, byDefault.times)) return stays();
  for (const e of [byDefault, best]) e.times = [];
  for (let round = 0; round < ROUNDS; round++) await takeTurns(device, [byDefault, best]);
  if (!beats(best.times, byDefault.times)) return stays();
  return { variant: best.variant, best: median(best), default: median(byDefault) };
}

async function takeTurns(device: Device, entrants: readonly Entrant[]): Promise<void> {
  for (const e of entrants) e.times.push((await elapsed(device, () => e.capture.run(), e.runs)) / e.runs);
}

const median = (e: Entrant): number => spread(e.times).median;

/** Whether a challenger is faster than the default by more than what is noise. Samples of the same index were taken one after the other. */
export function beats(challenger: readonly number[], byDefault: readonly number[]): boolean {
  const won = challenger.filter((time, i) => time < byDefault[i]).length;
  return won >= TURNS_WON * challenger.length && spread(challenger).median * MARGIN < spread(byDefault).median;
}
