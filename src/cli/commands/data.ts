/** `sparrow data`: get a data set, and check that it is whole. */
import type { Command } from 'commander';
import * as engine from '../engine.ts';
import { addOutputOptions } from '../options.ts';
import { type OutputOptions, printResult, withProgress } from '../terminal.ts';

const examples = `
Examples:
  sparrow data fetch cifar10 --data data
  sparrow data fetch svhn --data data --from https://mirror.example/svhn
  sparrow data verify cifar10 --data data`;

type DataOptions = OutputOptions & { readonly data: string; readonly from?: string };

export function addData(program: Command): void {
  const data = program.command('data').summary('fetch and verify data sets').description('Fetches and verifies data sets.');
  data.addHelpText('after', examples);

  const fetch = addVerb(
    data,
    'fetch',
    'Downloads a data set, goes on where an earlier download broke off, and checks it.',
  ).option('--from <URL>', "a folder of another server that has the publisher's files");
  addOutputOptions(fetch).action(async (name: string, options: DataOptions) => {
    const { counted } = await withProgress(options, hooks =>
      engine.fetchDataset(name, options.data, options.from, hooks.onProgress),
    );
    const checked =
      counted === undefined ? 'checked' : `${counted} images by count; \`sparrow data verify ${name}\` decodes them`;
    printResult(
      options,
      { name, folder: options.data, verified: counted === undefined },
      `${name} is in ${options.data}, ${checked}`,
    );
  });
  addOutputOptions(addVerb(data, 'verify', "Checks a data set's files.")).action(async (name: string, options: DataOptions) => {
    await withProgress(options, hooks => engine.verifyDataset(name, options.data, hooks));
    printResult(options, { name, folder: options.data, verified: true }, `${name} in ${options.data} is whole`);
  });
}

function addVerb(data: Command, verb: string, description: string): Command {
  return data
    .command(verb)
    .description(description)
    .argument('<name>', 'cifar10, cifar100, svhn or tinyimagenet')
    .option('--data <DIR>', 'folder of the data', 'data')
    .addHelpText('after', examples);
}
