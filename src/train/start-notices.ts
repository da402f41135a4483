/** What to tell the user of a file that training starts from, where it is not taken just as it is. */
import type { DataSet } from '../data/types.ts';
import { normalisationText, sameNormalisation } from './checkpoint.ts';
import { maskRule, type TrainConfig } from './config.ts';
import { isMasked, type NetworkFile } from './network-file.ts';

/** @param remaining the maskable weights of the network that are left where channels were removed, as a part of all */
export function startNotices(file: NetworkFile, data: DataSet, config: TrainConfig, remaining: number): string[] {
  const { path, normalisation, metadata } = file;
  const notices: string[] = [];
  if (normalisation && !sameNormalisation(normalisation, data))
    notices.push(
      `normalises with ${normalisationText(normalisation)}; it is trained on with those of ${data.name}, ${normalisationText(data)}`,
    );
  if (!metadata.arch && remaining < 1)
    notices.push(`has fewer channels than --width ${config.width} gives; the network has its channels`);
  const rule = maskRule(config);
  if (isMasked(file) && (rule === 'dense' || rule === 'imp'))
    notices.push('its masks are left out: all weights are trained, those that it has at 0 too');
  else if (isMasked(file) && config.sparseInit !== 'magnitude')
    notices.push(
      `its masks are left out: --sparse-init ${config.sparseInit} makes another; --sparse-init magnitude keeps its weights first`,
    );
  return notices.map(notice => `${path}: ${notice}`);
}
