/**
 * Progress on stderr: one live line on a terminal, now and then a plain line elsewhere (log files of batch jobs). Notices go through
 * here as well, so that they never land in the middle of the live line.
 */
import type { Progress } from '../train/api.ts';
import { duration } from './table.ts';

/** The part of `process.stderr` that is needed. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const redrawMs = 100;
const plainMs = 5000;
const eraseLine = '\r\x1b[2K';

export class ProgressDisplay {
  private readonly out: Output;
  private readonly quiet: boolean;
  private readonly now: () => number;
  private current: Progress | undefined;
  /** Where the present label began: the estimate of its remaining time starts here. */
  private start = { done: 0, time: 0 };
  private drawnAt: number;
  private live = false;

  /** @param now milliseconds, for tests */
  constructor(out: Output, options: { quiet?: boolean; now?: () => number } = {}) {
    this.out = out;
    this.quiet = options.quiet ?? false;
    this.now = options.now ?? Date.now;
    this.drawnAt = out.isTTY ? Number.NEGATIVE_INFINITY : this.now();
  }

  /** Shows how far the work is; draws at most ten times a second on a terminal, every five seconds elsewhere. */
  update(progress: Progress): void {
    if (this.quiet) return;
    const time = this.now();
    if (progress.label !== this.current?.label || progress.done < this.current.done) this.start = { done: progress.done, time };
    this.current = progress;
    if (time - this.drawnAt < (this.out.isTTY ? redrawMs : plainMs)) return;
    this.drawnAt = time;
    this.draw(progress, time);
  }

  /** A line that stays, above the live line. Shown even when progress is not. */
  note(line: string): void {
    this.erase();
    this.out.write(`${line}\n`);
    if (this.out.isTTY && this.current && !this.quiet) this.draw(this.current, this.now());
  }

  /** Ends the live line. Nothing is drawn until the next `update`. */
  close(): void {
    this.erase();
    this.current = undefined;
  }

  private draw(progress: Progress, time: number): void {
    const line = progressLine(progress, this.remaining(progress, time), this.out.isTTY ? 24 : 0);
    if (!this.out.isTTY) return void this.out.write(`${line}\n`);
    this.out.write(eraseLine + line.slice(0, (this.out.columns || 80) - 1));
    this.live = true;
  }

  private erase(): void {
    if (this.live) this.out.write(eraseLine);
    this.live = false;
  }

  /** Seconds to go at the pace since the label began; undefined before there is a pace or without a total. */
  private remaining({ done, total }: Progress, time: number): number | undefined {
    const passed = done - this.start.done;
    if (total === undefined || passed <= 0) return undefined;
    return ((time - this.start.time) / 1000 / passed) * (total - done);
  }
}

/** `label  [#####-----]  50.0 %  ETA 3m05s  loss 1.92`; without bar and percentage where the total is not known. */
export function progressLine({ label, done, total, fields }: Progress, remaining: number | undefined, barWidth: number): string {
  const parts = [label];
  if (total) {
    const fraction = Math.min(done / total, 1);
    const filled = Math.round(fraction * barWidth);
    if (barWidth) parts.push(`[${'#'.repeat(filled)}${'-'.repeat(barWidth - filled)}]`);
    parts.push(`${(100 * fraction).toFixed(1).padStart(5)} %`);
  } else parts.push(String(done));
  if (remaining !== undefined) parts.push(`ETA ${duration(remaining)}`);
  for (const [name, value] of Object.entries(fields ?? {})) parts.push(`${name} ${value}`);
  return parts.join('  ');
}
