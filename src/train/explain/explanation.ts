/** What `sparrow explain` found, on the host: what its page draws and its files hold. Maps and grids are float32 and row-major. */

export interface Explanation {
  readonly about: About;
  /** Class names; their number is K. */
  readonly classes: readonly string[];
  /** [N, C, H, W] of the images. */
  readonly shape: readonly number[];
  /** [N]. */
  readonly labels: Int32Array;
  readonly clean: View;
  /** Under attack `none` the same as `clean`. */
  readonly adv: View;
  /** Loss and prediction around the first images. */
  readonly around?: ImageSurfaces;
  readonly weights?: WeightSurfaces;
}

/** What was explained, and how it was attacked. */
export interface About {
  readonly checkpoint: string;
  readonly arch: string;
  readonly dataset: string;
  readonly split: string;
  readonly attack: string;
  readonly norm: 'linf' | 'l2';
  /** In units of pixels in [0, 1]. */
  readonly eps: number;
  readonly seed: number;
  readonly adapter: string;
  /** Accuracies on the explained images, as fractions: clean, and attacked. */
  readonly sa: number;
  readonly ra: number;
  /** The module whose output Grad-CAM looks at, and its size [C, h, w]. */
  readonly layer: string;
  readonly map: readonly number[];
  readonly flip: boolean;
  readonly eigen: boolean;
}

/** The images as they are, or attacked. */
export interface View {
  /** [N, C, H, W] in [0, 1]. */
  readonly images: Float32Array;
  /** [N]: the class that is explained. */
  readonly predicted: Int32Array;
  /** Grad-CAM in [0, 1], [N, H, W]. */
  readonly cam?: Float32Array;
  /** |gradient| of the predicted class's logit by a pixel, the largest over channels, [N, H, W]. */
  readonly saliency?: Float32Array;
}

/** Values of S images at [(s·G + i)·G + j]: axis[j] along the adversarial direction, axis[i] along the random one. */
export interface ImageSurfaces {
  /** Coordinates in units of eps, [G]. */
  readonly axis: readonly number[];
  readonly count: number;
  /** Cross-entropy in nats, [S, G, G]. */
  readonly loss: Float32Array;
  /** [S, G, G]. */
  readonly predicted: Int32Array;
}

/** Mean cross-entropy of the images in nats at [i·G + j]: axis[j] along one random direction, axis[i] along the other. */
export interface WeightSurfaces {
  /** Coordinates in units of a filter's length, [G]. */
  readonly axis: readonly number[];
  readonly clean: Float32Array;
  readonly adv: Float32Array;
  /** Share of the weights that may move: those that are not masked. */
  readonly density: number;
  /** Steps of the PGD that attacks the moved weights; 0 where the images were attacked once, on the checkpoint's weights. */
  readonly recraft: number;
}
