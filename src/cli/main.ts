/**
 * The process: runs the command line and leaves its exit code. The process ends by itself once nothing is open any more, so output
 * that is still on its way into a pipe is not cut off.
 */
import { run } from './program.ts';

// A reader such as `head` may close the pipe early; that is its right and no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

process.exitCode = await run(process.argv.slice(2));
