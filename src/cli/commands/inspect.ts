/** `sparrow inspect`: the layers of a checkpoint. */
import type { Command } from 'commander';
import { readFileBytes } from '../../data/files.ts';
import { decodeWeights, summariseLayers } from '../../train/checkpoint.ts';
import { formatTable } from '../table.ts';
import { type OutputOptions, printResult } from '../terminal.ts';

const examples = `
Examples:
  sparrow inspect runs/fb/checkpoint.safetensors
  sparrow inspect weights.safetensors --json

Active weights are those of the mask, or in a file without masks those that are not zero.`;

export function addInspect(program: Command): void {
  program
    .command('inspect')
    .summary("a checkpoint's layers: shapes, non-zeros, density")
    .description('Prints the maskable layers (convolutions and linear) of a checkpoint or of a plain safetensors state_dict.')
    .argument('<checkpoint>', 'a .safetensors file')
    .option('--json', 'print the result as exactly one JSON object on stdout')
    .addHelpText('after', examples)
    .action((file: string, options: OutputOptions) => inspect(file, options));
}

function inspect(file: string, options: OutputOptions): void {
  const weights = decodeWeights(readFileBytes(file), file);
  const layers = summariseLayers(weights).map(layer => ({ ...layer, density: layer.active / layer.weights }));
  const total = layers.reduce((n, layer) => n + layer.weights, 0);
  const active = layers.reduce((n, layer) => n + layer.active, 0);
  const density = total ? active / total : 1;
  const { arch, dataset, classes, width, epoch, iteration } = weights.metadata;
  const about = arch && {
    arch,
    dataset,
    classes: Number(classes),
    width: Number(width),
    epoch: Number(epoch),
    iteration: Number(iteration),
  };

  const rows = layers.map(l => [l.name, l.shape.join('x'), String(l.weights), String(l.active), l.density.toFixed(4)]);
  rows.push(['total', '', String(total), String(active), density.toFixed(4)]);
  const title = about
    ? `${arch}, width ${width}, ${dataset} (${classes} classes), after ${epoch} epochs and ${iteration} iterations\n\n`
    : '';
  const table = formatTable(['layer', 'shape', 'weights', 'active', 'density'], rows);
  printResult(options, { file, ...(about || {}), layers, weights: total, active, density }, title + table);
}
