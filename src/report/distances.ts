/** distances.json: how far the masks of a run's epochs are from each other, and when they settled. */
import { FileError } from '../errors.ts';

/** Normalised Hamming distances: the share of all entries in which two masks differ. */
export interface Distances {
  epochs: number[];
  /** Symmetric, [epoch][epoch], in [0, 1]. */
  matrix: number[][];
  /** At or below it masks count as the same. */
  threshold: number;
  /** The epoch whose mask was close enough to those before it; absent where none was. */
  emerged?: number;
}

/**
 * Checks what distances.json holds: `{ epochs, distances, threshold, emerged }`.
 * @param source what messages call the file @throws FileError saying what of it is wrong
 */
export function toDistances(raw: Record<string, unknown>, source: string): Distances {
  const fail = (what: string): never => {
    throw new FileError(`${source}: ${what}; the file is damaged`);
  };
  const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
  const { epochs, distances, threshold, emerged } = raw;
  if (!Array.isArray(epochs) || !epochs.every(isNumber)) return fail("'epochs' is no list of numbers");
  const isRow = (row: unknown): row is number[] =>
    Array.isArray(row) && row.length === epochs.length && row.every(value => isNumber(value) && value >= 0 && value <= 1);
  if (!Array.isArray(distances) || distances.length !== epochs.length || !distances.every(isRow))
    return fail(`'distances' is no table of ${epochs.length} x ${epochs.length} numbers in [0, 1], one for each two epochs`);
  if (!isNumber(threshold)) return fail("'threshold' is no number");
  if (emerged === null || emerged === undefined) return { epochs, matrix: distances, threshold };
  if (!isNumber(emerged) || !epochs.includes(emerged)) return fail("'emerged' is none of the epochs");
  return { epochs, matrix: distances, threshold, emerged };
}
