/**
 * Every active weight with |w| at or below a threshold, whatever the death rate says; the largest of a layer stays. A prune decision of Flying Bird+
 * takes the smallest of the others too.
 */
import { elementwise } from '../../tensor/elementwise.ts';
import { sum } from '../../tensor/reduce.ts';
import { magnitude } from './magnitude.ts';
import type { DeathRule } from './rule.ts';

export const threshold: DeathRule = {
  measure: ({ weight, mask }, limit) =>
    sum(elementwise('mul', [mask, elementwise('inRange', [elementwise('abs', [weight])], [0, limit])])),
  amount: ({ nnz }, below) => Math.min(below, Math.max(0, nnz - 1)),
  select: magnitude.select,
};
