/** A thread that decodes image files: takes a `Task`, answers with what is `Done`. */
import { parentPort } from 'node:worker_threads';
import { decodeFiles, type Task } from './decode-files.ts';

parentPort!.on('message', async (task: Task) => {
  const done = await decodeFiles(task);
  parentPort!.postMessage(done, [done.pixels.buffer]);
});
