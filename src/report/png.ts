/** Small pictures inside the page: RGB pixels to a PNG in a data URI. */
import { encode } from 'fast-png';

/** `rgb` holds width x height x 3 bytes, row by row. */
export function pngUri(width: number, height: number, rgb: Uint8Array): string {
  const png = encode({ width, height, data: rgb, depth: 8, channels: 3 });
  return `data:image/png;base64,${Buffer.from(png.buffer, png.byteOffset, png.byteLength).toString('base64')}`;
}
