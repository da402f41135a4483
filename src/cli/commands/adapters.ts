/** `sparrow adapters`: what can compute here, and what cannot and why. */
import { createInterface } from 'node:readline/promises';
import { type Command, Option } from 'commander';
import { SparrowError, UsageError } from '../../errors.ts';
import * as engine from '../engine.ts';
import { type OutputOptions, printResult } from '../terminal.ts';

const examples = `
Examples:
  sparrow adapters
  sparrow adapters --install lavapipe --yes`;

/** The limits that decide what fits. */
const shownLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupsPerDimension',
] as const;

export function addAdapters(program: Command): void {
  program
    .command('adapters')
    .summary('WebGPU adapters: found, refused and why, limits and features')
    .description('Lists every kind of adapter in the order of preference: what was found, or why it cannot be used.')
    .addOption(new Option('--install <DRIVER>', "install Mesa's software driver (Debian, Ubuntu)").choices(['lavapipe']))
    .option('--yes', 'install without asking')
    .option('--json', 'print the result as exactly one JSON object on stdout')
    .addHelpText('after', examples)
    .action(async (options: OutputOptions & { install?: string; yes?: boolean }) => {
      if (options.yes && !options.install) throw new UsageError('--yes goes with --install');
      if (options.install) await engine.installLavapipe(commands => confirm(commands, options.yes ?? false));
      await list(options);
    });
}

/** Asks on the terminal; without one the answer must have been given by `--yes`. */
async function confirm(commands: string, yes: boolean): Promise<boolean> {
  process.stderr.write(`${commands}\n`);
  if (yes) return true;
  if (!process.stdin.isTTY) throw new SparrowError('nobody is there to confirm the installation: add --yes');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question('Run these commands? [y/N] ')).trim());
  } finally {
    terminal.close();
  }
}

async function list(options: OutputOptions): Promise<void> {
  const found = await engine.listAdapters();
  const adapters = found.map(({ kind, adapter, description, refused }) =>
    adapter
      ? { kind, usable: true, ...description, features: [...adapter.features].sort(), limits: limitsOf(adapter) }
      : { kind, usable: false, refused },
  );
  const text = found.map(({ kind, adapter, description, refused }) => {
    if (!adapter) return `${kind}: refused: ${refused}`;
    const limits = Object.entries(limitsOf(adapter)).map(([name, value]) => `\n  ${name} ${value}`);
    const name = [description?.description, description?.architecture].filter(Boolean).join(', ');
    return `${kind}: ${name}${limits.join('')}\n  features ${[...adapter.features].sort().join(' ')}`;
  });
  printResult(options, { adapters }, text.join('\n\n'));
}

function limitsOf(adapter: GPUAdapter): Record<string, number> {
  return Object.fromEntries(shownLimits.map(name => [name, adapter.limits[name]]));
}
