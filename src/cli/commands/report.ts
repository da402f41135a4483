/** `sparrow report`: one page, figures or a table from the folders of runs. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { ensureWritableFolder, writeFileAtomic } from '../../data/files.ts';
import { UsageError } from '../../errors.ts';
import type { TableFormat } from '../../report/index.ts';
import * as engine from '../engine.ts';
import { addOutputOptions } from '../options.ts';
import { type OutputOptions, printResult, withProgress } from '../terminal.ts';

const examples = `
Examples:
  The page of one run, runs/fb/report.html:
    sparrow report runs/fb
  Several runs side by side, in ./report.html or elsewhere:
    sparrow report runs/dense runs/fb runs/fbp
    sparrow report runs/dense runs/fb runs/fbp --out compare.html
  Each figure as SVG and PNG, too:
    sparrow report runs/dense runs/fb --figures figures
  The table of results; runs that differ in nothing but their seed become one row:
    sparrow report --table runs/dense runs/fb-1 runs/fb-2 runs/fb-3
    sparrow report --table --format csv runs/dense runs/fb

The page needs nothing but a browser: no network, no script. RUN is what --save-dir named; a run that still goes on is shown as far as it is.`;

interface ReportOptions extends OutputOptions {
  readonly out?: string;
  readonly figures?: string;
  readonly table?: boolean;
  readonly format?: TableFormat;
}

const formats: readonly TableFormat[] = ['markdown', 'csv', 'json'];

function tableFormat(text: string): TableFormat {
  const format = formats.find(known => known === text);
  if (format === undefined) throw new UsageError(`--format must be one of ${formats.join(', ')}, got '${text}'`);
  return format;
}

export function addReport(program: Command): void {
  const command = program
    .command('report')
    .summary('a page, figures or a table of one run or of several side by side')
    .description(
      'Writes one self-contained page of figures and tables: results, learning curves, masks over training, densities and weights by layer, ' +
        'clean and attacked images.',
    )
    .argument('<run...>', 'folders of runs (their --save-dir)')
    .option('--out <FILE>', 'the page (default: report.html in the folder of one run; ./report.html of several)')
    .option('--figures <DIR>', 'write each figure as SVG and PNG into this folder, too')
    .option('--table', 'print the table of results instead')
    .option('--format <NAME>', `of --table: ${formats.join(', ')} (default: markdown)`, tableFormat);
  addOutputOptions(command)
    .addHelpText('after', examples)
    .action((folders: string[], options: ReportOptions) => (options.table ? table(folders, options) : page(folders, options)));
}

async function page(folders: string[], options: ReportOptions): Promise<void> {
  if (options.format !== undefined) throw new UsageError('--format goes with --table');
  const report = await engine.report();
  const out = options.out ?? (folders.length === 1 ? join(folders[0], 'report.html') : 'report.html');
  const { runs, notices, figures } = await withProgress(options, async ({ onProgress, onNotice }) => {
    const runs = report.loadRuns(folders, { onRun: (done, total) => onProgress({ label: 'reading runs', done, total }) });
    const notices = report.noticesOf(runs);
    notices.forEach(onNotice);
    if (options.figures !== undefined) ensureWritableFolder(options.figures);
    writeFileAtomic(out, report.renderReport(runs));
    const onFigure = (done: number, total: number) => onProgress({ label: 'drawing figures', done, total });
    const { figures: folder } = options;
    const figures = folder === undefined ? [] : await report.writeFigures(report.figuresOf(runs), folder, onFigure);
    return { runs, notices, figures };
  });
  const lines = [out, ...(figures.length > 0 ? [`${figures.length} files of figures in ${options.figures}`] : [])];
  printResult(options, { report: out, runs: runs.length, figures, notices }, lines.join('\n'));
}

async function table(folders: string[], options: ReportOptions): Promise<void> {
  const idle = (['out', 'figures'] as const).find(name => options[name] !== undefined);
  if (idle) throw new UsageError(`--${idle}: --table only prints; give one of them`);
  if (options.json && options.format !== undefined && options.format !== 'json')
    throw new UsageError(`--json and --format ${options.format}: give one of them`);
  const report = await engine.report();
  const runs = report.loadRuns(folders, { numbersOnly: true });
  for (const notice of report.noticesOf(runs)) process.stderr.write(`sparrow: ${notice}\n`);
  const format = options.json ? 'json' : (options.format ?? 'markdown');
  process.stdout.write(`${report.writeTable(report.resultTable(runs), format)}\n`);
}
