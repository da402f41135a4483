/** Learning rates as functions of the epoch; fractions of an epoch where a schedule moves within it. */

export type Schedule = (epoch: number) => number;

/** lr · gamma^(number of milestones reached). An epoch equal to a milestone has reached it. */
export function multiStep(lr: number, milestones: readonly number[], gamma = 0.1): Schedule {
  return epoch => lr * gamma ** milestones.filter(m => epoch >= m).length;
}

/** From lr to `floor` along half a cosine over `epochs`. */
export function cosine(lr: number, epochs: number, floor = 0): Schedule {
  return epoch => floor + ((lr - floor) * (1 + Math.cos((Math.PI * Math.min(epoch, epochs)) / epochs))) / 2;
}

/** Linear from 0 to lr over the first two fifths of `epochs`, then linear to 0: the schedule of fast adversarial training. */
export function cyclic(lr: number, epochs: number): Schedule {
  const top = (2 * epochs) / 5;
  return epoch => Math.max(0, epoch <= top ? (lr * epoch) / top : (lr * (epochs - epoch)) / (epochs - top));
}
