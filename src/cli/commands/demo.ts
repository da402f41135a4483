/** `sparrow demo`: three ways of training on the embedded data set, side by side. What `npm start` runs. */
import type { Command } from 'commander';
import { runFlags, trainFlags } from '../../train/config.ts';
import { text, withDefaults } from '../../train/flags.ts';
import * as engine from '../engine.ts';
import { Interrupted } from '../interrupt.ts';
import { addFlags, addOutputOptions, givenFlags } from '../options.ts';
import { duration, formatTable, percent, siCount } from '../table.ts';
import { type OutputOptions, printResult, withProgress } from '../terminal.ts';

const demoFlags = {
  saveDir: text({ help: 'folder of the runs and of report.html', default: 'runs/demo', placeholder: 'DIR' }),
  seed: trainFlags.seed,
  adapter: runFlags.adapter,
  gpu: runFlags.gpu,
};

const examples = `
Example:
  sparrow demo --save-dir runs/demo`;

export function addDemo(program: Command): void {
  const command = program
    .command('demo')
    .summary('see it work: standard, adversarial and sparse training in a few minutes')
    .description(
      'Trains a small network on the embedded data set "shapes" three ways: standard, dense adversarial and Flying Bird at 80 % sparsity. ' +
        'Ends with a table and report.html: no download, no GPU needed.',
    );
  addFlags(command, 'Run', demoFlags);
  addOutputOptions(command)
    .addHelpText('after', examples)
    .action(async (options: OutputOptions) => {
      const settings = withDefaults(demoFlags, givenFlags(command, demoFlags));
      const outcome = await withProgress({ ...options, stoppable: 'stopping after this iteration' }, hooks =>
        engine.demo(settings, hooks),
      );
      if (outcome.interrupted) throw new Interrupted('interrupted; run it again to start the demo anew');
      const rows = outcome.rows.map(row => [
        row.name,
        percent(row.sa),
        percent(row.ra),
        row.density.toFixed(3),
        siCount(row.trainFlops),
      ]);
      const table = formatTable(['training', 'SA', 'RA (PGD-20)', 'density', 'training FLOPs'], rows);
      printResult(options, outcome, `${table}\n\n${duration(outcome.seconds)}; curves, masks and images: ${outcome.report}`);
    });
}
