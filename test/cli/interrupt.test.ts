/** Signals sent to a real process. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const cwd = fileURLToPath(new URL('../..', import.meta.url));

/** Work that asks whether to stop every 10 ms, and saves for 200 ms; `stubborn` work never asks. */
const program = (stubborn: boolean) => `
  import { Interrupt, Interrupted } from './src/cli/interrupt.ts';
  const interrupt = new Interrupt(() => console.log('stopping'));
  console.log('ready');
  while (${stubborn} || !interrupt.requested) await new Promise(next => setTimeout(next, 10));
  await new Promise(next => setTimeout(next, 200));
  interrupt.dispose();
  console.log('saved');
  process.exitCode = new Interrupted('x').exitCode;`;

async function signalled(stubborn: boolean, signals: NodeJS.Signals[]) {
  const args = ['--import', 'tsx', '--input-type=module', '-e', program(stubborn)];
  const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', text => {
    output += text;
    const signal = /(ready|stopping)\n$/.test(text) && signals.shift();
    if (signal) child.kill(signal);
  });
  const [code] = await once(child, 'close');
  return { code, lines: output.trim().split('\n') };
}

it('stops the work at the first signal, which then ends by itself with 130', async () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const { code, lines } = await signalled(false, [signal]);
    expect({ code, lines }).toEqual({ code: 130, lines: ['ready', 'stopping', 'saved'] });
  }
});

it('lets the work save where a closing terminal sends SIGHUP twice, or after another signal', async () => {
  for (const first of ['SIGHUP', 'SIGINT'] as const) {
    expect(await signalled(false, [first, 'SIGHUP'])).toEqual({ code: 130, lines: ['ready', 'stopping', 'saved'] });
  }
});

it('ends at once with 130 at the second', async () => {
  expect(await signalled(true, ['SIGINT', 'SIGINT'])).toEqual({ code: 130, lines: ['ready', 'stopping'] });
});
