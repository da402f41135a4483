/** The colours of maps and surfaces, and pictures made of them. */
import { pngUri } from './png.ts';

/** From low to high: rising in lightness, so that the order survives greyscale and every colour blindness. */
const ramp = [
  [9, 7, 33],
  [74, 24, 107],
  [176, 50, 92],
  [239, 122, 48],
  [252, 199, 84],
  [253, 248, 190],
];

/** The ramp's colour at a share in [0, 1], as bytes. */
export function heat(share: number): number[] {
  const position = Math.min(Math.max(share, 0), 1) * (ramp.length - 1);
  const i = Math.min(Math.floor(position), ramp.length - 2);
  return ramp[i].map((value, channel) => Math.round(value + (ramp[i + 1][channel] - value) * (position - i)));
}

/** A picture of a colour a pixel, `colour` giving bytes by row and column. */
export function picture(width: number, height: number, colour: (row: number, column: number) => readonly number[]): string {
  const rgb = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++) rgb.set(colour(row, column), (row * width + column) * 3);
  return pngUri(width, height, rgb);
}
