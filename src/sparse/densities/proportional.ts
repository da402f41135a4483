/** Densities in proportion to a ratio that follows from a layer's shape. */
import type { DensityRule } from './rule.ts';

/** density_l = factor·ratio_l. A layer that would pass 1 becomes dense, and the factor is solved again for the rest. */
export const proportional =
  (ratioOf: (shape: readonly number[]) => number): DensityRule =>
  (layers, density) => {
    const ratios = layers.map(l => ratioOf(l.shape));
    const dense = new Set<number>();
    const total = layers.reduce((n, l) => n + l.size, 0);
    for (;;) {
      let wanted = density * total;
      let weight = 0;
      layers.forEach(({ size }, i) => {
        if (dense.has(i)) wanted -= size;
        else weight += ratios[i] * size;
      });
      const factor = wanted / weight;
      const over = ratios.flatMap((r, i) => (!dense.has(i) && factor * r > 1 ? [i] : []));
      if (over.length === 0) return ratios.map((r, i) => (dense.has(i) ? 1 : factor * r));
      // the one that passes 1 by most first: the others may fit once it is dense
      const most = Math.max(...over.map(i => ratios[i]));
      for (const i of over) if (ratios[i] === most) dense.add(i);
    }
  };
