/**
 * `sparrow bench --suite step --peers`: the same adversarial training step of PreActResNet-18 in other libraries, from the same weights on the
 * same images. Two steps without augmentation and without a random start show that all do the same: the loss of the first depends on forward
 * passes and input gradients, that of the second on the weight gradients and the optimiser too. Their ball is smaller than a step of the attack, so
 * that both depend on its projection. The timed steps start at random, and Sparrow's augments besides, as in a run.
 */
import type { Device } from '../../device/index.ts';
import { type Compared, Entry, type Peers } from './entry.ts';
import type { Given } from './peer.ts';
import { attack, classes, imageShape, input, optimiser, Training, type TrainingOptions } from './training.ts';

/** Losses of the two repeatable steps. */
export type Losses = readonly [number, number];

/** What a library says of itself before the turns; `difference` is that of the losses. */
export interface PreparedStep extends Compared {
  readonly losses: Losses;
  /** Seconds to the first finished of these steps, compilation included. */
  readonly firstStepSeconds: number;
}

/** Iterations of the attack in the repeatable steps, and the radius of its ball. */
const comparedSteps = 1;
const comparedEps = 1 / 255;
/** Largest difference between losses at which both did the same work. */
const tolerance = { f32: 1e-3, f16: 1e-2 };

/**
 * Lets Sparrow and every library do the two repeatable steps, which also compiles.
 * @returns Sparrow's losses, its seconds to the first finished step, and those that take part
 */
export async function enterStep(
  device: Device,
  options: TrainingOptions,
  peers: Peers,
  onPart: (part: string) => void,
): Promise<{ losses: Losses; firstEqualStepSeconds: number; entry: Entry }> {
  const training = new Training(device, { ...options, repeatable: true, attackSteps: comparedSteps, eps: comparedEps });
  try {
    const given = await givenOf(training, options);
    onPart('repeatable steps');
    const begun = performance.now();
    const first = await training.lossOfStep();
    const firstEqualStepSeconds = (performance.now() - begun) / 1000;
    const losses: Losses = [first, await training.lossOfStep()];
    const entry = await Entry.open(peers, 'step', given, onPart);
    entry.compare(tolerance[device.precision], results =>
      Math.max(...(results as unknown as PreparedStep).losses.map((loss, i) => differenceOf(loss, losses[i]))),
    );
    return { losses, firstEqualStepSeconds, entry };
  } finally {
    training.dispose();
  }
}

const differenceOf = (a: number, b: number) => (Number.isNaN(a - b) ? Infinity : Math.abs(a - b));

/** What peers need for the step: weights under PyTorch's names, images in [0, 1], classes, and the settings. */
async function givenOf({ model, batch }: Training, { batchSize, attackSteps }: TrainingOptions): Promise<object> {
  const parameters: Record<string, Given> = {};
  for (const [name, p] of model.parameters()) parameters[name] = { shape: p.shape, values: await p.floats() };
  const images: Given = { shape: [batchSize, ...imageShape], values: Float32Array.from(batch.images, byte => byte / 255) };
  return {
    parameters,
    images,
    labels: batch.labels,
    classes,
    attack: { ...attack, steps: attackSteps, comparedSteps, comparedEps },
    optimiser,
    input,
  };
}
