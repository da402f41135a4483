/** What a run is called where its caller gave it no name. */
import { maskRule, type TrainConfig } from './config.ts';

/** The method, then the training mode where it is not adversarial training by PGD: `RigL, trades`. */
export function defaultLabel(config: TrainConfig): string {
  const names = {
    dense: config.scale === undefined ? 'dense' : 'small dense',
    fixed: 'fixed mask',
    imp: 'iterative magnitude pruning',
    set: 'SET',
    rigl: 'RigL',
    itop: 'ITOP',
    fb: 'Flying Bird',
    fbp: 'Flying Bird+',
  };
  const rule = maskRule(config);
  if (config.mode === 'sgd') return `${names[rule]}, standard`;
  const mode = config.mode === 'pgd' ? '' : `, ${config.mode}`;
  return rule === 'dense' ? `${names.dense} adversarial${mode}` : `${names[rule]}${mode}`;
}
