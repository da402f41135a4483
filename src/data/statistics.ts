/** What is known of the published data sets' images without opening them. */

export interface ImageStatistics {
  /** `[C, H, W]` of one image. */
  readonly shape: readonly [number, number, number];
  /** Channel means and standard deviations of pixels in [0, 1], `[C]`, as the field normalises with them. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

const small = [3, 32, 32] as const;

export const imageStatistics = {
  cifar10: { shape: small, mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
  cifar100: { shape: small, mean: [0.5071, 0.4865, 0.4409], std: [0.2673, 0.2564, 0.2762] },
  svhn: { shape: small, mean: [0.4377, 0.4438, 0.4728], std: [0.198, 0.201, 0.197] },
  tinyimagenet: { shape: [3, 64, 64], mean: [0.4802, 0.4481, 0.3975], std: [0.2302, 0.2265, 0.2262] },
  shapes: { shape: small, mean: [0.317, 0.317, 0.317], std: [0.158, 0.158, 0.158] },
} as const satisfies Record<string, ImageStatistics>;
