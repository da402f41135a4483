/** Made explanations for the tests of their page. */
import type { Explanation } from '../../src/train/explain/explanation.ts';
import { source } from '../reference/random.ts';

export const grid = 9;
export const axis = Array.from({ length: grid }, (_, i) => (i - 4) / 2);

/** Noise in every map and surface, of n images of 6x5 pixels. */
export function madeExplanation(seed = 1, n = 3): Explanation {
  const next = source(seed);
  const floats = (size: number, scale = 1) => Float32Array.from({ length: size }, () => next() * scale);
  const integers = (size: number, below: number) => Int32Array.from({ length: size }, () => Math.floor(next() * below));
  const shape = [n, 3, 6, 5];
  const view = () => ({
    images: floats(n * 90),
    predicted: integers(n, 3),
    cam: floats(n * 30),
    saliency: floats(n * 30, 1e-3),
  });
  return {
    about: {
      checkpoint: 'runs/<fb>/best-ra.safetensors',
      arch: 'resnet18',
      dataset: 'shapes',
      split: 'test',
      attack: 'pgd-20',
      norm: 'linf',
      eps: 8 / 255,
      seed: 1,
      adapter: 'SwiftShader Device (Subzero)',
      sa: 2 / 3,
      ra: 1 / 3,
      layer: 'layer4.1',
      map: [512, 4, 4],
      flip: true,
      eigen: true,
    },
    classes: ['disc', 'ring', 'a "square" & <b>'],
    shape,
    labels: integers(n, 3),
    clean: view(),
    adv: view(),
    around: { axis, count: 2, loss: floats(2 * grid * grid, 4), predicted: integers(2 * grid * grid, 3) },
    weights: { axis, clean: floats(grid * grid, 20), adv: floats(grid * grid, 30), density: 0.2, recraft: 0 },
  };
}
