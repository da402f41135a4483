/** How the tables of `sparrow bench` write a measured number. */

/** Three significant digits. */
export function significant(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
