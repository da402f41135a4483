/**
 * SVG to PNG by resvg, which carries no fonts: text is drawn in Public Sans, so that a picture is the same on every machine. Letters
 * outside of the Latin script that the font lacks show as boxes; the SVG has them.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { initWasm, Resvg } from '@resvg/resvg-wasm';

const file = (name: string): Uint8Array => new Uint8Array(readFileSync(createRequire(import.meta.url).resolve(name)));

let ready: Promise<Uint8Array[]> | undefined;

/** Starts resvg, once, and hands out the regular and the bold font. */
function prepare(): Promise<Uint8Array[]> {
  ready ??= initWasm(file('@resvg/resvg-wasm/index_bg.wasm')).then(() =>
    [400, 600].map(weight => file(`@fontsource/public-sans/files/public-sans-latin-${weight}-normal.woff2`)),
  );
  return ready;
}

/** The PNG of an SVG document on white, `scale` pixels for each of its units. */
export async function rasterise(svg: string, scale = 2): Promise<Uint8Array> {
  const family = 'Public Sans';
  const picture = new Resvg(svg, {
    background: '#ffffff',
    fitTo: { mode: 'zoom', value: scale },
    font: { fontBuffers: await prepare(), defaultFontFamily: family, sansSerifFamily: family },
  });
  try {
    return picture.render().asPng();
  } finally {
    picture.free();
  }
}
