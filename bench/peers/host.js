/**
 * The process of one peer with one work: `node host.js NAME [ADAPTER]`, started by src/cli/bench/peer.ts. It answers one call after the
 * other over the channel to its parent: `open` the library, `prepare` a work, `run` a pass of it so many times. Plain JavaScript, because the
 * peers' types are there only after `npm ci --prefix bench/peers`.
 *
 * A peer's module exports `open()`, which starts the library, and `works`: by task a function from what is given to { passes, results }. A pass
 * runs its work `runs` times and waits until the last is done; `results` are the numbers that the parent compares with Sparrow's.
 */
import { adapterDescription, openGpu, takeErrors } from './gpu.js';

const [peer, adapter] = process.argv.slice(2);

/** The module of the peer, and the work that is prepared. */
let library;
let work;

const calls = {
  /** @returns the adapter that the library runs on */
  async open() {
    openGpu(adapter);
    library = await import(`./${peer}.js`);
    await library.open();
    return { adapter: adapterDescription() };
  },
  /** Uploads what is given, and compiles. @returns the names of the passes and the results */
  async prepare(name, given) {
    work = await library.works[name](given);
    return { passes: Object.keys(work.passes), results: work.results };
  },
  /** @returns milliseconds of `runs` runs of a pass */
  async run(pass, runs) {
    const start = performance.now();
    await work.passes[pass](runs);
    return performance.now() - start;
  },
};

process.on('message', async ({ call, given }) => {
  try {
    const value = await calls[call](...given);
    // a launch that WebGPU refused takes no time, so its result must not count
    const [refused] = takeErrors();
    if (refused) throw new Error(refused);
    process.send({ value });
  } catch (error) {
    process.send({ error: error.message.trim().split('\n')[0] || error.name });
  }
});
process.on('disconnect', () => process.exit());
