/** `sparrow inspect`: the layers of a checkpoint, and which kernels would compute them. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { readFileBytes } from '../../data/files.ts';
import { FileError, SparrowError, UsageError } from '../../errors.ts';
import { type InferenceWork, inferenceMacs } from '../../sparse/flops.ts';
import { engineFlags } from '../../train/attack-settings.ts';
import { decodeWeights, type HostTensors, type Identity, identityOf, summariseLayers } from '../../train/checkpoint.ts';
import { flagName, integer, type Settings, withDefaults } from '../../train/flags.ts';
import type { NetworkPlan } from '../../train/plan.ts';
import * as engine from '../engine.ts';
import { addFlags, givenFlags } from '../options.ts';
import { countOf, formatTable, siCount } from '../table.ts';
import { type OutputOptions, printResult } from '../terminal.ts';

const examples = `
Examples:
  sparrow inspect runs/fb/checkpoint.safetensors
  sparrow inspect weights.safetensors --json
  sparrow inspect model.pth
  sparrow inspect runs/fb/checkpoint.safetensors --plan --batch-size 128

Active weights are those of the mask, or in a file without masks those that are not zero. FLOPs are multiply-adds of one image's
forward pass, dense and at the layer's density; a file that does not name its architecture, such as a plain state_dict, has none.
--plan says of every pass of every convolution with which kernel and tile this adapter computes it, and whether that is the default or
was measured (by bench --tune). Beside a run's kernels.json it is what that run uses.`;

const planFlags = {
  batchSize: integer({ help: '--plan: images of a batch', default: 8, min: 1 }),
  imageSize: integer({
    help: '--plan: height and width of the images',
    default: undefined,
    defaultText: "the data set's",
    min: 1,
  }),
  ...engineFlags,
};

interface InspectOptions extends OutputOptions {
  readonly plan?: boolean;
}

export function addInspect(program: Command): void {
  const command = program
    .command('inspect')
    .summary("a checkpoint's layers: shapes, non-zeros, density, FLOPs")
    .description('Prints the maskable layers (convolutions and linear) of a checkpoint or of a plain state_dict.')
    .argument('<checkpoint>', 'a .safetensors or .pth file')
    .option('--plan', 'print which kernels compute the convolutions');
  addFlags(command, 'How', planFlags)
    .option('--json', 'print the result as exactly one JSON object on stdout')
    .addHelpText('after', examples)
    .action((file: string, options: InspectOptions) => {
      const given = givenFlags(command, planFlags);
      const [without] = options.plan ? [] : Object.keys(given).filter(key => command.getOptionValueSource(key) === 'cli');
      if (without) throw new UsageError(`${flagName(without)} has no effect without --plan`);
      return options.plan ? printPlan(file, withDefaults(planFlags, given), options) : inspect(file, options);
    });
}

async function inspect(file: string, options: OutputOptions): Promise<void> {
  const weights = decodeWeights(readFileBytes(file), file);
  const about = aboutOf(weights.metadata);
  const macs = about && (await countWork(weights.model, about, file));
  const layers = summariseLayers(weights, macs?.keys()).map(layer => {
    const density = layer.active / layer.weights;
    const dense = macs?.get(layer.name);
    return { ...layer, density, ...(dense !== undefined ? { flops: { dense, real: density * dense } } : {}) };
  });
  const sum = (of: (layer: (typeof layers)[number]) => number) => layers.reduce((n, layer) => n + of(layer), 0);
  const [total, active] = [sum(l => l.weights), sum(l => l.active)];
  const density = total ? active / total : 1;
  const densities = new Map(layers.map(l => [l.name, l.density]));
  const flops = macs && inferenceMacs(macs, name => densities.get(name) ?? 1);

  const work = (of: InferenceWork | undefined) =>
    flops ? (of ? [of.dense, of.real].map(n => siCount(Math.round(n))) : ['', '']) : [];
  const rows = layers.map(l => [
    shortName(l.name),
    l.shape.join('x'),
    String(l.weights),
    String(l.active),
    l.density.toFixed(4),
    ...work(l.flops),
  ]);
  rows.push(['total', '', String(total), String(active), density.toFixed(4), ...work(flops)]);
  const columns = ['layer', 'shape', 'weights', 'active', 'density', ...(flops ? ['FLOPs dense', 'at density'] : [])];
  const value = { file, ...(about ?? {}), layers, weights: total, active, density, ...(flops ? { flops } : {}) };
  printResult(
    options,
    value,
    `${about ? aboutText(about) : `state_dict, ${countOf(weights.model.size, 'tensor')}`}\n\n${formatTable(columns, rows)}`,
  );
}

async function printPlan(file: string, settings: Settings<typeof planFlags>, options: OutputOptions): Promise<void> {
  const weights = decodeWeights(readFileBytes(file), file);
  const about = aboutOf(weights.metadata);
  if (!about) throw new FileError(`${file}: names no architecture, so there is no plan; a checkpoint of a run does`);
  const densities = new Map(summariseLayers(weights).map(l => [l.name, l.weights ? l.active / l.weights : 1]));
  const onNotice = (text: string) => void process.stderr.write(`sparrow: ${text}\n`);
  const source = join(dirname(file), 'kernels.json');
  const kernels = existsSync(source) ? { text: readFileSync(source, 'utf8'), source } : undefined;
  const plan = await engine.plan(weights.model, about, file, { ...settings, densities, kernels }, { onNotice });
  printResult(options, { file, ...plan }, planText(plan));
}

function planText({ adapter, batch, passes }: NetworkPlan): string {
  const tileText = ({ kernel, ...sizes }: NetworkPlan['passes'][number]['tiles'][number]) =>
    [kernel, ...Object.entries(sizes).map(([name, value]) => (value === true ? name : `${name} ${value}`))].join(' ');
  const rows = passes.map(({ layer, density, pass, tiles, measured }) => [
    shortName(layer),
    density.toFixed(4),
    pass,
    [...new Set(tiles.map(tileText))].join('; '),
    measured ? 'measured' : 'default',
  ]);
  const title = `${adapter.kind}: ${adapter.description || adapter.architecture}; batches [${batch}]`;
  return `${title}\n\n${formatTable(['layer', 'density', 'pass', 'kernel', 'from'], rows, [0, 2, 3, 4])}`;
}

/** What a checkpoint says of itself; undefined for a plain state_dict. */
function aboutOf(metadata: Record<string, string>) {
  if (!metadata.arch) return undefined;
  return { ...(identityOf(metadata) as Identity), epoch: Number(metadata.epoch), iteration: Number(metadata.iteration) };
}

/** `resnet18, width 64, cifar10 (10 classes), after 1 epoch, 352 iterations`. */
function aboutText(about: NonNullable<ReturnType<typeof aboutOf>>): string {
  const { arch, depthFactor, widthFactor, width, widths, dataset, classes, epoch, iteration } = about;
  const network = [
    `${arch}${depthFactor ? ` ${depthFactor}-${widthFactor}` : ''}`,
    `width ${width}`,
    ...(widths ? ['channels pruned'] : []),
  ];
  const data = `${dataset} (${classes} classes)`;
  return [...network, data, `after ${countOf(epoch, 'epoch')}`, countOf(iteration, 'iteration')].join(', ');
}

/** The layer that a weight belongs to. */
const shortName = (weight: string) => weight.replace(/\.weight$/, '');

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
