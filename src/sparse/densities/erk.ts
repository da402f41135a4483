/** Erdős–Rényi-Kernel (Evci et al. 2020, "Rigging the Lottery", section 3): density_l ∝ Σ dims / Π dims. */
import { proportional } from './proportional.ts';

export const erk = proportional(shape => shape.reduce((a, b) => a + b) / shape.reduce((a, b) => a * b));
