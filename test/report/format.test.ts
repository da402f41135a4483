import { describe, expect, it } from 'vitest';
import { decimals, duration, fraction, grouped, percent, plain, points, share, shorten, si } from '../../src/report/format.ts';

describe('numbers as text', () => {
  it.each([
    [percent(0.41234), '41.23\u00A0%'],
    [percent(1, 1), '100.0\u00A0%'],
    [percent(-0.00001), '0.00\u00A0%'],
    [percent(Number.NaN), '–'],
    [fraction(0.20004), '0.2000'],
    [fraction(Number.NaN), '–'],
    [decimals(-2.13, 3), '−2.130'],
    [points(0.0525), '+5.25'],
    [points(-0.0166), '−1.66'],
    [points(-0.000001), '0.00'],
    [points(Number.POSITIVE_INFINITY), '–'],
    [si(555_422_720), '555.4\u00A0M'],
    [si(0), '0'],
    [si(999), '999'],
    [si(999_999), '1\u00A0M'],
    [si(1.2346e18), '1.235\u00A0E'],
    [si(1e30), '1e+30'],
    [si(Number.NaN), '–'],
    [share(1, 4), '25.0\u00A0%'],
    [share(1, 0), '–'],
    [grouped(11_164_352), '11\u202F164\u202F352'],
    [grouped(undefined), '–'],
    [duration(59.4), '59 s'],
    [duration(61), '1 min 1 s'],
    [duration(4000), '1 h 6 min'],
    [plain(0.000123456), '0.0001235'],
    [plain(-2), '−2'],
    [shorten('Flying Bird', 11), 'Flying Bird'],
    [shorten('Flying Bird+', 8), 'Flying …'],
  ])('%s is %s', (written, expected) => {
    expect(written).toBe(expected);
  });
});
