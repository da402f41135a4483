/** What a rule of densities is: how a global density is spread over layers. A rule is a file in this folder and a row of `index.ts`. */
export interface MaskedLayer {
  name: string;
  /** [OUT, IN, KH, KW] or [OUT, IN]. */
  shape: readonly number[];
  size: number;
}

/** The density of each layer for a global one in (0, 1): Σ density_l·n_l = density·Σ n_l. */
export type DensityRule = (layers: readonly MaskedLayer[], density: number) => number[];
