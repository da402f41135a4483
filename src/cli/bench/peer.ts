/** The other library of `--peers`. It lives in `bench/peers` with its own packages, which nothing else needs. */
import { existsSync } from 'node:fs';
import { SparrowError } from '../../errors.ts';
import type { ConvSizes } from './conv-shapes.ts';

export interface Peer {
  readonly name: string;
  /** Functions that run a pass, or all three, `runs` times and wait until the last is done. */
  conv(sizes: ConvSizes): Promise<{ forward(runs: number): Promise<void>; all(runs: number): Promise<void>; dispose(): void }>;
  close(): void;
}

const folder = new URL('../../../bench/peers/', import.meta.url);

/** @throws SparrowError saying how to install it, where it is not */
export function checkPeer(): void {
  if (!existsSync(new URL('jax.js', folder))) throw new SparrowError('--peers works in a checkout of the project only');
  if (!existsSync(new URL('node_modules/@jax-js/jax/', folder)))
    throw new SparrowError('--peers: jax-js is not installed; run npm ci --prefix bench/peers');
}

/** Starts jax-js in this process, on the driver of the device that was opened last. */
export async function openPeer(): Promise<Peer> {
  checkPeer();
  const { href } = new URL('jax.js', folder);
  const { openPeer: open } = (await import(href)) as { openPeer(): Promise<Peer> };
  try {
    return await open();
  } catch (error) {
    throw new SparrowError(`--peers: jax-js does not start: ${(error as Error).message}`);
  }
}
