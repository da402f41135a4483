/**
 * Work of training and inference in multiply-adds, dense and at the real densities.
 *
 *   inference  = Σ_l density_l · macs_l                      an image's forward pass
 *   training   = images · epochs · inference · passes
 *
 * A forward pass counts 1, its input gradient 1, its weight gradient 1: an optimiser step costs 3, each attack step 2 (forward and input
 * gradient; no weight gradient). A training mode says how many passes it makes: 3 + 2·steps for adversarial training. Only convolutions and linear
 * layers are counted.
 */

/** Multiply-adds of one image, dense and real. */
export interface InferenceWork {
  dense: number;
  real: number;
}

/** @param macs of each layer's weight for one image @param density of each layer's weight; absent ones are dense */
export function inferenceMacs(macs: ReadonlyMap<string, number>, density: (name: string) => number): InferenceWork {
  let dense = 0;
  let real = 0;
  for (const [name, n] of macs) {
    dense += n;
    real += n * density(name);
  }
  return { dense, real };
}

/** Passes of a training image in units of its forward pass, in adversarial training by PGD. */
export function passesPerImage(attackSteps: number): number {
  return 3 + 2 * attackSteps;
}

/** The formula as results print it. @param passes of an image, in words */
export function flopsFormula(passes: string): string {
  return (
    `multiply-adds; inference = Σ density·macs over conv and linear layers; training = images · inference · (${passes}): ` +
    'forward, input gradient and weight gradient count 1 each'
  );
}
