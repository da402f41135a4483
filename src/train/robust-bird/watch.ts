/**
 * Stage 1's look at its masks: draws one after every epoch, writes the distances between all of them to `distances.json`, and
 * ends the stage when the ticket has emerged. The masks are kept in `epoch-masks/` while they are compared.
 */
import { readFileJson, readSafetensors, writeFileAtomic, writeSafetensors } from '../../data/files.ts';
import {
  type BitMask,
  drawMask,
  emergenceThreshold,
  hasEmerged,
  maskDistance,
  type Pruning,
  ticketScores,
} from '../../sparse/early-bird.ts';
import type { HostTensors } from '../checkpoint.ts';
import { RunFolder } from '../folder.ts';
import type { EpochWatch } from '../loop.ts';

/** What `distances.json` holds. */
export interface DistanceRecord {
  readonly pruning: Pruning;
  readonly density: number;
  /** The ticket has emerged when a mask is as near as this to each of the four before it. */
  readonly threshold: number;
  /** The epoch at whose end it had; null where it has not. */
  readonly emerged: number | null;
  /** From 0. */
  readonly epochs: readonly number[];
  /** The part of all scores at which the masks of two epochs differ, [epoch][epoch]: symmetric, 0 on the diagonal. */
  readonly distances: readonly (readonly number[])[];
}

const RECORD = 'distances.json';
const MASKS = 'epoch-masks';

export class EarlyBirdWatch implements EpochWatch {
  /** Of each epoch, its distances to those before it. */
  private rows: number[][] = [];

  constructor(
    private readonly folder: RunFolder,
    private readonly pruning: Pruning,
    private readonly density: number,
  ) {}

  /** What was found up to an epoch that is complete; what is there of later ones belongs to a run that was killed. */
  begin(epochs: number): void {
    if (epochs === 0) {
      this.discardMasks();
      this.folder.remove(RECORD);
    }
    const { folder } = this;
    const { distances } = folder.has(RECORD) ? (readFileJson(folder.file(RECORD)) as DistanceRecord) : { distances: [] };
    this.rows = distances.slice(0, epochs).map((row, e) => row.slice(0, e));
  }

  see(epoch: number, model: HostTensors): void {
    const mask = drawMask(ticketScores(model, this.pruning), this.density);
    this.saveMask(epoch, mask);
    this.rows.push(this.rows.map((_, earlier) => maskDistance(mask, this.loadMask(earlier))));
    writeFileAtomic(this.folder.file(RECORD), `${JSON.stringify(this.record())}\n`);
  }

  get over(): boolean {
    return hasEmerged(this.rows.at(-1) ?? [], this.pruning);
  }

  record(): DistanceRecord {
    const { pruning, density, rows } = this;
    const between = (a: number, b: number) => (a === b ? 0 : rows[Math.max(a, b)][Math.min(a, b)]);
    return {
      pruning,
      density,
      threshold: emergenceThreshold[pruning],
      emerged: this.over ? rows.length - 1 : null,
      epochs: rows.map((_, e) => e),
      distances: rows.map((_, a) => rows.map((_, b) => between(a, b))),
    };
  }

  /** The masks are needed no more: their distances are known. */
  discardMasks(): void {
    this.folder.remove(MASKS);
  }

  private maskFile(epoch: number): string {
    return this.folder.file(`${MASKS}/${epoch}.safetensors`);
  }

  private saveMask(epoch: number, { size, bits }: BitMask): void {
    new RunFolder(this.folder.file(MASKS)).prepare();
    const tensors = new Map([['bits', { dtype: 'U8', shape: [bits.length], data: bits } as const]]);
    writeSafetensors(this.maskFile(epoch), tensors, { size: String(size) });
  }

  private loadMask(epoch: number): BitMask {
    const { tensors, metadata } = readSafetensors(this.maskFile(epoch));
    return { size: Number(metadata.size), bits: tensors.get('bits')!.data as Uint8Array };
  }
}
