/** `sparrow inspect`: the layers of a checkpoint. */
import type { Command } from 'commander';
import { readFileBytes } from '../../data/files.ts';
import { SparrowError } from '../../errors.ts';
import { type InferenceWork, inferenceMacs } from '../../sparse/flops.ts';
import { decodeWeights, type HostTensors, type Identity, identityOf, summariseLayers } from '../../train/checkpoint.ts';
import * as engine from '../engine.ts';
import { formatTable } from '../table.ts';
import { type OutputOptions, printResult } from '../terminal.ts';

const examples = `
Examples:
  sparrow inspect runs/fb/checkpoint.safetensors
  sparrow inspect weights.safetensors --json
  sparrow inspect model.pth

Active weights are those of the mask, or in a file without masks those that are not zero. FLOPs are multiply-adds of one image's
forward pass, dense and at the layer's density; a file that does not name its architecture, such as a plain state_dict, has none.`;

export function addInspect(program: Command): void {
  program
    .command('inspect')
    .summary("a checkpoint's layers: shapes, non-zeros, density, FLOPs")
    .description('Prints the maskable layers (convolutions and linear) of a checkpoint or of a plain state_dict.')
    .argument('<checkpoint>', 'a .safetensors or .pth file')
    .option('--json', 'print the result as exactly one JSON object on stdout')
    .addHelpText('after', examples)
    .action((file: string, options: OutputOptions) => inspect(file, options));
}

async function inspect(file: string, options: OutputOptions): Promise<void> {
  const weights = decodeWeights(readFileBytes(file), file);
  const about = aboutOf(weights.metadata);
  const macs = about && (await countWork(weights.model, about, file));
  const layers = summariseLayers(weights).map(layer => {
    const density = layer.active / layer.weights;
    const dense = macs?.get(layer.name);
    return { ...layer, density, ...(dense !== undefined ? { flops: { dense, real: density * dense } } : {}) };
  });
  const sum = (of: (layer: (typeof layers)[number]) => number) => layers.reduce((n, layer) => n + of(layer), 0);
  const [total, active] = [sum(l => l.weights), sum(l => l.active)];
  const density = total ? active / total : 1;
  const densities = new Map(layers.map(l => [l.name, l.density]));
  const flops = macs && inferenceMacs(macs, name => densities.get(name) ?? 1);

  const work = (of: InferenceWork | undefined) => (flops ? [of ? String(of.dense) : '', of ? of.real.toFixed(0) : ''] : []);
  const rows = layers.map(l => [
    l.name,
    l.shape.join('x'),
    String(l.weights),
    String(l.active),
    l.density.toFixed(4),
    ...work(l.flops),
  ]);
  rows.push(['total', '', String(total), String(active), density.toFixed(4), ...work(flops)]);
  const title = about
    ? `${about.arch}${about.depthFactor ? ` ${about.depthFactor}-${about.widthFactor}` : ''}, width ${about.width}${about.widths ? ', channels pruned' : ''}, ${about.dataset} (${about.classes} classes), ` +
      `after ${about.epoch} epochs and ${about.iteration} iterations\n\n`
    : '';
  const columns = ['layer', 'shape', 'weights', 'active', 'density', ...(flops ? ['FLOPs dense', 'at density'] : [])];
  const value = { file, ...(about ?? {}), layers, weights: total, active, density, ...(flops ? { flops } : {}) };
  printResult(options, value, title + formatTable(columns, rows));
}

/** What a checkpoint says of itself; undefined for a plain state_dict. */
function aboutOf(metadata: Record<string, string>) {
  if (!metadata.arch) return undefined;
  return { ...(identityOf(metadata) as Identity), epoch: Number(metadata.epoch), iteration: Number(metadata.iteration) };
}

/** The layers' multiply-adds. What a file holds can be shown without them, so a reason against is a notice and no failure. */
async function countWork(model: HostTensors, identity: Identity, file: string): Promise<Map<string, number> | undefined> {
  try {
    return await engine.layerWork(model, identity, file);
  } catch (error) {
    if (!(error instanceof SparrowError)) throw error;
    process.stderr.write(`sparrow: FLOPs are not counted: ${error.message.replace(/\s*\n\s*/g, ' ')}\n`);
    return undefined;
  }
}
