/**
 * TensorFlow.js in Node. Its modules import each other without file endings, so they are bundled first; and it takes itself for a Node
 * platform, which it does not support, as long as it sees Node's version.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const entry = `
  import '@tensorflow/tfjs-core/dist/register_all_gradients';
  import '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops';
  import '@tensorflow/tfjs-backend-webgpu';
  export * from '@tensorflow/tfjs-core';`;

/** What the library asks of a platform as long as it loads nothing. */
const platform = {
  isTypedArray: a => ArrayBuffer.isView(a) && !(a instanceof DataView),
  now: () => performance.now(),
  setTimeoutCustom: (work, delay) => setTimeout(work, delay),
};

/** The library, with its WebGPU backend started. */
export async function loadTfjs() {
  const folder = mkdtempSync(join(tmpdir(), 'sparrow-tfjs-'));
  const outfile = join(folder, 'tfjs.mjs');
  const { versions } = process;
  try {
    const stdin = { contents: entry, resolveDir: fileURLToPath(new URL('.', import.meta.url)) };
    await build({ stdin, outfile, bundle: true, format: 'esm', platform: 'browser', logLevel: 'silent' });
    Object.defineProperty(process, 'versions', { value: { ...versions, node: undefined } });
    const tf = await import(pathToFileURL(outfile).href);
    tf.env().setPlatform('headless', platform);
    if (!(await tf.setBackend('webgpu'))) throw new Error('its WebGPU backend does not start');
    await tf.ready();
    return tf;
  } finally {
    Object.defineProperty(process, 'versions', { value: versions });
    rmSync(folder, { recursive: true });
  }
}
