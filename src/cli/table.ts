/** Result tables as aligned text. */
import type { KernelTime } from '../device/index.ts';

/** Columns separated by two spaces, with a line under the header. @param left those aligned left, which hold words: by default the first */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  left: readonly number[] = [0],
): string {
  const widths = header.map((title, c) => Math.max(title.length, ...rows.map(row => row[c].length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, c) => (left.includes(c) ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
      .join('  ')
      .trimEnd();
  const rule = widths.map(width => '-'.repeat(width));
  return [header, rule, ...rows].map(line).join('\n');
}

/** Time on the device by kernel and variant. */
export function profileTable(kernels: readonly KernelTime[]): string {
  const all = kernels.reduce((sum, k) => sum + k.total, 0);
  const rows = kernels.map(({ label, count, total }) => [
    label,
    String(count),
    total.toFixed(2),
    (total / count).toFixed(4),
    percent(total / all),
  ]);
  return formatTable(['kernel', 'launches', 'ms', 'ms each', 'share'], rows);
}

/** A fraction as a percentage: `.5162` is `51.62 %`. */
export function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(2)} %`;
}

/** A large count with its SI prefix: `555422720` is `555.42 M`. */
export function siCount(n: number): string {
  const prefixes = ['', ' k', ' M', ' G', ' T', ' P', ' E'];
  const step = n < 1000 ? 0 : Math.min(Math.floor(Math.log10(n) / 3), prefixes.length - 1);
  return step === 0 ? String(n) : `${(n / 1000 ** step).toFixed(2)}${prefixes[step]}`;
}

/** A number of things: `1 epoch`, `2 epochs`. */
export function countOf(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}

/** A file's size: `176.2 MiB`, below that `37.1 KiB`. */
export function byteCount(bytes: number): string {
  return bytes < 2 ** 20 ? `${(bytes / 2 ** 10).toFixed(1)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** A duration: `42s`, `3m05s`, `2h07m`. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  const two = (n: number) => String(n).padStart(2, '0');
  if (s < 60) return `${s}s`;
  return s < 3600 ? `${Math.floor(s / 60)}m${two(s % 60)}s` : `${Math.floor(s / 3600)}h${two(Math.floor((s % 3600) / 60))}m`;
}
