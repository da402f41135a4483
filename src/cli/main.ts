/**
 * The process: runs the command line and leaves its exit code. The process ends by itself once nothing is open any more, so output
 * that is still on its way into a pipe is not cut off.
 */
import { run } from './program.ts';

// A reader such as `head` may close the pipe early (EPIPE), a terminal may be closed (EIO); that is their right and no failure. What
// is written then is lost, and the work goes on.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });
}

process.exitCode = await run(process.argv.slice(2));
