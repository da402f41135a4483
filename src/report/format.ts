/** Numbers as a reader meets them: percentages, differences in points, counts with SI prefixes, durations. NaN is an en dash. */

const missing = '\u2013';

/** .41234 -> '41.23 %'. */
export function percent(fraction: number, decimals = 2): string {
  return Number.isFinite(fraction) ? `${signed(fraction * 100, decimals)}\u00A0%` : missing;
}

/** A number of a column, whose numbers have the same decimals: 2.13 -> '2.1300'. */
export function decimals(value: number, count: number): string {
  return Number.isFinite(value) ? signed(value, count) : missing;
}

/** A part of 1 as the command line takes and prints it: .20004 -> '0.2000'. */
export function fraction(value: number): string {
  return decimals(value, 4);
}

/** A difference of two fractions in percentage points, with its sign: .0123 -> '+1.23'. */
export function points(difference: number): string {
  if (!Number.isFinite(difference)) return missing;
  const value = signed(difference * 100, 2);
  return Number.parseFloat(value) > 0 ? `+${value}` : value;
}

/** A count with an SI prefix and four digits: 555422720 -> '555.4 M'. */
export function si(count: number): string {
  if (!Number.isFinite(count)) return missing;
  const prefixes = ['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'];
  const rounded = Number(count.toPrecision(4));
  const power = Math.floor(Math.log10(Math.max(1, Math.abs(rounded))) / 3);
  if (power >= prefixes.length) return rounded.toExponential();
  return `${Number((rounded / 1000 ** power).toPrecision(4))}\u00A0${prefixes[power]}`.trim();
}

/** A whole count with its digits in groups of three: 11164352 -> '11 164 352'. */
export function grouped(count = Number.NaN): string {
  return Number.isFinite(count) ? count.toFixed(0).replace(/\B(?=(\d{3})+$)/g, '\u202F') : missing;
}

/** 'real' as a share of 'dense': '20.0 %'. */
export function share(real: number, dense: number): string {
  return dense > 0 ? percent(real / dense, 1) : missing;
}

/** 4000 -> '1 h 6 min'. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return missing;
  const total = Math.round(seconds);
  if (total < 60) return `${total} s`;
  const minutes = Math.floor(total / 60);
  return minutes < 60 ? `${minutes} min ${total % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Any other number, short and exact enough to read: 4 significant digits, integers whole. */
export function plain(value: number): string {
  if (!Number.isFinite(value)) return missing;
  return Number.isInteger(value)
    ? String(value).replace('-', '\u2212')
    : String(Number(value.toPrecision(4))).replace('-', '\u2212');
}

/** The start of a text that fits in `length` characters; whole characters only. */
export function shorten(text: string, length: number): string {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}\u2026`;
}

function signed(value: number, decimals: number): string {
  const digits = Math.abs(value).toFixed(decimals);
  return value < 0 && Number(digits) !== 0 ? `\u2212${digits}` : digits;
}
