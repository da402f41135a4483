/** What a command has of the terminal while it works: progress and notices on stderr, the result on stdout, the wish to stop. */
import type { ColdStart, RunHooks } from '../train/api.ts';
import { Interrupt } from './interrupt.ts';
import { ProgressDisplay } from './progress.ts';
import { percent, profileTable } from './table.ts';

/** The options that `addOutputOptions` adds. */
export interface OutputOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** The result of a command: `text` for people, or `value` as one JSON object with `--json`. */
export function printResult(options: OutputOptions, value: object, text: string): void {
  process.stdout.write(`${options.json ? JSON.stringify(value) : text}\n`);
}

/** Runs long work with progress shown and, where it can stop in between, with signals caught. */
export async function withProgress<T>(
  options: OutputOptions & { stoppable?: string },
  work: (hooks: Required<RunHooks>) => Promise<T>,
): Promise<T> {
  const display = new ProgressDisplay(process.stderr, { quiet: options.quiet });
  const interrupt = options.stoppable
    ? new Interrupt(() => display.note(`sparrow: ${options.stoppable}; a second Ctrl-C stops at once`))
    : undefined;
  try {
    return await work({
      onProgress: progress => display.update(progress),
      onNotice: line => display.note(`sparrow: ${line}`),
      onEpoch: (m, mode) => {
        if (options.quiet) return;
        const train = `train ${mode === 'sgd' ? 'accuracy' : 'RA'} ${percent(m.trainRa)}`;
        const val = `val SA ${percent(m.valSa)} RA ${percent(m.valRa)}`;
        const test = `test SA ${percent(m.testSa)} RA ${percent(m.testRa)}`;
        display.note(`epoch ${m.epoch}  ${train}  ${val}  ${test}  density ${m.density.toFixed(4)}`);
      },
      onFirstStep: start => {
        if (!options.quiet) display.note(coldStartText(start));
      },
      onProfile: kernels => display.note(profileTable(kernels)),
      shouldStop: () => interrupt?.requested ?? false,
    });
  } finally {
    interrupt?.dispose();
    display.close();
  }
}

function coldStartText({ seconds, opening, compiling }: ColdStart): string {
  const [all, open, compile, rest] = [seconds, opening, compiling, seconds - opening - compiling].map(s => s.toFixed(1));
  return `first step done after ${all} s: ${open} s to open data and device, ${compile} s to compile, ${rest} s for the step`;
}
