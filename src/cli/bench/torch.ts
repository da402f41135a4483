/**
 * PyTorch beside the other libraries, where Python has it: the same work by bench/torch/measure.py, on the processor for adapters that are
 * one. It has no adapter in common with Sparrow and its inputs are its own, so it is measured after the turns and its numbers are not compared.
 */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { AdapterDescription } from '../../device/index.ts';
import type { PeerResult, Ratio } from './contest.ts';
import type { ConvPass, ConvResult, Rate } from './conv.ts';
import type { PassPeer } from './passes.ts';
import type { StepPeer, StepResult } from './step.ts';
import type { Timing } from './time.ts';

const script = fileURLToPath(new URL('../../../bench/torch/measure.py', import.meta.url));
const python = () => process.env.PYTHON ?? 'python3';

/** Whether `python3`, or the interpreter that PYTHON names, has PyTorch. */
export const hasTorch = (): boolean => existsSync(script) && spawnSync(python(), ['-c', 'import torch']).status === 0;

/** What measure.py prints, as far as it is read. */
interface Measured {
  readonly torch: string;
  readonly device: string;
  readonly threads: number;
  readonly conv?: { readonly fp32: readonly (Failed | { readonly own: Readonly<Record<ConvPass, Rate>> })[] };
  readonly step?: { readonly fp32: readonly (Failed | { readonly timing: Timing })[] };
}

/** A measurement that failed, or all of them. */
interface Failed {
  readonly error: string;
}

export interface TorchOptions {
  readonly samples: number;
  readonly adapter: AdapterDescription;
  onPart(part: string): void;
}

/** The results with PyTorch as the last of each shape's peers. */
export async function addTorchConv(results: readonly ConvResult[], options: TorchOptions): Promise<ConvResult[]> {
  const folder = mkdtempSync(join(tmpdir(), 'sparrow-torch-'));
  try {
    const file = join(folder, 'shapes.json');
    writeFileSync(file, JSON.stringify(results.map(r => r.sizes)));
    const measured = await measure(['--parts', 'conv', '--shapes', file], options);
    return results.map((result, i) => ({ ...result, peers: [...(result.peers ?? []), convPeer(result, measured, i)] }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function convPeer({ own }: ConvResult, measured: Measured | Failed, i: number): PeerResult<PassPeer<ConvPass, Rate>> {
  const found = 'error' in measured ? measured : measured.conv!.fp32[i];
  if ('error' in found) return { ...nameOf(measured), error: found.error };
  const passes = Object.keys(own) as ConvPass[];
  const ratio = Object.fromEntries(passes.map(pass => [pass, ratioOf(found.own[pass].timing, own[pass].timing)]));
  return { ...nameOf(measured), rates: found.own, ratio };
}

/** The step with PyTorch as the last of its peers. */
export async function addTorchStep<S extends StepResult & { width: number; batchSize: number; trainStep: number }>(
  result: S,
  options: TorchOptions,
): Promise<S> {
  const { width, batchSize, trainStep } = result;
  const sizes = ['--width', width, '--batch', batchSize, '--train-step', trainStep].map(String);
  const measured = await measure(['--parts', 'step', ...sizes], options);
  const found = 'error' in measured ? measured : measured.step!.fp32[0];
  const peer: PeerResult<StepPeer> =
    'error' in found
      ? { ...nameOf(measured), error: found.error }
      : { ...nameOf(measured), timing: found.timing, ratio: ratioOf(found.timing, result.timing) };
  return { ...result, peers: [...(result.peers ?? []), peer] };
}

async function measure(what: string[], { samples, adapter, onPart }: TorchOptions): Promise<Measured | Failed> {
  onPart('PyTorch');
  const device = adapter.processor ? ['--device', 'cpu'] : [];
  const args = [script, ...what, ...device, '--modes', 'fp32', '--samples', String(samples)];
  try {
    const { stdout } = await promisify(execFile)(python(), args, { maxBuffer: 2 ** 26 });
    return JSON.parse(stdout) as Measured;
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    return { error: stderr.trim().split('\n').at(-1) || message };
  }
}

const nameOf = (of: Measured | Failed) => ({
  name: 'PyTorch',
  version: 'error' in of ? '' : `${of.torch}, ${of.device === 'cpu' ? `CPU, ${of.threads} threads` : of.device}`,
});

/** How many times as long as Sparrow, from two timings that took no turns. */
function ratioOf(theirs: Omit<Timing, 'runs'>, own: Omit<Timing, 'runs'>): Ratio {
  return { median: theirs.median / own.median, min: theirs.min / own.max, max: theirs.max / own.min };
}
