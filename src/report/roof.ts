/**
 * The roofline (Williams et al. 2009): work of F operations on B bytes takes at least max(F / peak, B / bandwidth) seconds, so it runs at no more
 * than min(peak, bandwidth · F / B) operations a second.
 */

/** An adapter's ceilings, as `sparrow bench --suite limits` measures them. */
export interface Ceilings {
  /** GFLOP/s of multiply-adds from registers. */
  readonly gflops: number;
  /** GB/s read from storage. */
  readonly gbs: number;
}

/**
 * The sizes of a convolution, as results of `sparrow bench` hold them: [n, ci, size, size] with [co, ci, kernel, kernel], padded by
 * floor(kernel/2) so that the output has ceil(size/stride) rows.
 */
export interface ConvSizes {
  readonly n: number;
  readonly ci: number;
  readonly co: number;
  readonly size: number;
  readonly kernel: number;
  readonly stride: number;
}

/** The ceilings among measured limits; undefined where one is missing. */
export function ceilingsOf(limits: readonly { title: string; unit: string; value: number }[]): Ceilings | undefined {
  const largest = (unit: string, title: RegExp) =>
    Math.max(...limits.filter(l => l.unit === unit && title.test(l.title)).map(l => l.value));
  const [gflops, gbs] = [largest('GFLOP/s', /^multiply-adds/), largest('GB/s', /^storage, read/)];
  return gflops > 0 && gbs > 0 ? { gflops, gbs } : undefined;
}

/** Operations a byte of one pass of a convolution in f32 that reads its two operands and writes its result once. */
export function convIntensity({ n, ci, co, size, kernel, stride }: ConvSizes): number {
  const rows = Math.ceil(size / stride);
  const elements = n * ci * size ** 2 + co * ci * kernel ** 2 + n * co * rows ** 2;
  return (2 * n * co * ci * kernel ** 2 * rows ** 2) / (4 * elements);
}

/** GFLOP/s at most for work of so many operations a byte. */
export const roofAt = ({ gflops, gbs }: Ceilings, intensity: number): number => Math.min(gflops, gbs * intensity);
