/**
 * Ctrl-C, SIGTERM (what batch systems send before they kill) and SIGHUP (the terminal was closed): the first asks the work to stop
 * at the next good moment, a second ends the process at once. Either way the exit code is 130. When a terminal closes, both the
 * kernel and the shell send SIGHUP: it is never the second.
 */
import { SparrowError } from '../errors.ts';

/** The work stopped because the user asked for it. Its message says what was saved. */
export class Interrupted extends SparrowError {
  override readonly exitCode = 130;
  override name = 'Interrupted';
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export class Interrupt {
  /** Whether the work should stop. */
  requested = false;
  private readonly onSignal: (signal: NodeJS.Signals) => void;

  /** Listens from now on. @param announce told of the first signal @param exit ends the process on a second one */
  constructor(announce: () => void, exit: (code: number) => void = process.exit) {
    this.onSignal = signal => {
      if (this.requested && signal === 'SIGHUP') return;
      if (this.requested) exit(130);
      this.requested = true;
      announce();
    };
    for (const signal of signals) process.on(signal, this.onSignal);
  }

  /** Stops listening: signals do again what they do by default. */
  dispose(): void {
    for (const signal of signals) process.off(signal, this.onSignal);
  }
}
