/**
 * Waiting for a device without taking its processor. Dawn's binding for Node asks for news in every turn of the event loop, and turns it
 * without rest while anything is awaited: one core, which an adapter that computes on the processor needs itself (half the speed on two).
 */

const bell = new Int32Array(new SharedArrayBuffer(4));
/** Milliseconds of the longest nap. */
const LONGEST = 1;
/** A nap may prolong what was waited for by this part of it. */
const PART = 1 / 8;

let awaited = 0;
/** When the present wait began. */
let since = 0;
let scheduled = false;

function turn(): void {
  scheduled = false;
  if (awaited === 0) return;
  Atomics.wait(bell, 0, 0, Math.min(LONGEST, (performance.now() - since) * PART));
  schedule();
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  setImmediate(turn);
}

/** What `work` resolves to; until then every turn of the event loop ends with a nap that grows with the time waited, to a millisecond. */
export async function patiently<T>(work: Promise<T>): Promise<T> {
  if (awaited++ === 0) since = performance.now();
  schedule();
  try {
    return await work;
  } finally {
    awaited--;
  }
}
