/**
 * Ctrl-C, SIGTERM (what batch systems send before they kill) and SIGHUP (the terminal was closed): the first asks the work to stop
 * at the next good moment, a second ends the process at once. Either way the exit code is 130. When a terminal closes, both the
 * kernel and the shell send SIGHUP: it is never the second. Nor is the end of the process that began this one over a channel, as a
 * sweep begins its runs: it asks to stop too, so that no run goes on behind a sweep that was killed.
 */
import { SparrowError } from '../errors.ts';

/** The work stopped because the user asked for it. Its message says what was saved. */
export class Interrupted extends SparrowError {
  override readonly exitCode = 130;
  override name = 'Interrupted';
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** An event of the process that there is a channel to: it is gone. */
const gone = 'disconnect';

export class Interrupt {
  /** Whether the work should stop. */
  requested = false;
  private readonly onSignal: (signal?: NodeJS.Signals) => void;
  private readonly onGone = () => this.onSignal();

  /** Listens from now on. @param announce told of the first signal @param exit ends the process on a second one */
  constructor(announce: () => void, exit: (code: number) => void = process.exit) {
    this.onSignal = signal => {
      if (this.requested && (signal === 'SIGHUP' || signal === undefined)) return;
      if (this.requested) exit(130);
      this.requested = true;
      announce();
    };
    for (const signal of signals) process.on(signal, this.onSignal);
    process.on(gone, this.onGone);
  }

  /** Stops listening: signals do again what they do by default. */
  dispose(): void {
    for (const signal of signals) process.off(signal, this.onSignal);
    process.off(gone, this.onGone);
  }
}
