/** Erdős–Rényi (Mocanu et al. 2018, "Scalable training of artificial neural networks", section 2): density_l ∝ (out + in) / (out·in). */
import { proportional } from './proportional.ts';

export const er = proportional(([out, input]) => (out + input) / (out * input));
