/** The colour ramp of masks and heat maps: light to dark, its lightness falling evenly, so that it reads the same in greyscale. */

/** From the least to the most. */
const ramp = [
  [240, 243, 247],
  [150, 196, 228],
  [33, 110, 178],
  [6, 36, 84],
];

/** The ramp's colour at a share in [0, 1], as red, green and blue of 0 to 255. */
export function rampColour(share: number): number[] {
  const position = Math.min(1, Math.max(0, share)) * (ramp.length - 1);
  const i = Math.min(Math.floor(position), ramp.length - 2);
  return ramp[i].map((value, channel) => Math.round(value + (ramp[i + 1][channel] - value) * (position - i)));
}

/** The same as `#rrggbb`. */
export function rampHex(share: number): string {
  return `#${rampColour(share)
    .map(value => value.toString(16).padStart(2, '0'))
    .join('')}`;
}
