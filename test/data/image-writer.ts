/** Small JPEG and PNG files, and folders of them. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import encodeJpeg, { init } from '@jsquash/jpeg/encode.js';
import { encode as encodePng } from 'fast-png';

/** Interleaved RGB [size, size, 3] in which a smooth ramp and a colour tell images apart. */
export function rgb(size: number, kind: number, width = size): Uint8Array {
  const out = new Uint8Array(3 * size * width);
  for (let i = 0; i < size * width; i++)
    out.set([(kind * 53 + (i % width)) % 256, (kind * 97) % 256, Math.floor(i / width) * 2], 3 * i);
  return out;
}

let ready: Promise<void> | undefined;

/** A JPEG file of [height, width, 3] bytes. */
export async function jpeg(pixels: Uint8Array, height: number, width = height): Promise<Uint8Array> {
  ready ??= (async () => {
    const file = createRequire(import.meta.url).resolve('@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm');
    await init(new WebAssembly.Module(readFileSync(file)));
  })();
  await ready;
  const data = new Uint8ClampedArray(4 * height * width);
  for (let i = 0; i < height * width; i++) data.set([...pixels.subarray(3 * i, 3 * i + 3), 255], 4 * i);
  return new Uint8Array(await encodeJpeg({ data, height, width, colorSpace: 'srgb' }, { quality: 95 }));
}

export const png = (pixels: Uint8Array, height: number, width = height) =>
  encodePng({ width, height, data: pixels, channels: 3, depth: 8 });

/** Writes a file and the folders above it. */
export function put(path: string, bytes: Uint8Array | string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}
