/** The command line in this process, which is quicker than one of its own: for the many ways of using it wrongly. */
import { expect, vi } from 'vitest';
import { run } from '../../src/cli/program.ts';

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command and keeps what it writes. */
export async function inProcess(args: string[]): Promise<Outcome> {
  const written = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map(stream =>
    vi.spyOn(process[stream], 'write').mockImplementation(text => {
      written[stream] += text;
      return true;
    }),
  );
  try {
    return { code: await run(args), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** What one of our commands prints with `--json`, for tests to look into. */
// biome-ignore lint/suspicious/noExplicitAny: tests say what they expect of it
type Printed = any;

/** The JSON of a command that has to succeed without a word on stderr. */
export async function inProcessJson(args: string[]): Promise<Printed> {
  const { code, stdout, stderr } = await inProcess([...args, '--json', '--quiet']);
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout);
}

/** How far work is: a line every five seconds, so none on a fast machine. */
const isProgress = (line: string) => / {2} *\d+\.\d %( {2}|$)/.test(line);

/** What was said on stderr, line by line, without progress. */
export const linesOf = (text: string): string[] => text.split('\n').filter(line => line && !isProgress(line));
