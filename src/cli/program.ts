/** The command line as a function: arguments in, exit code out. Prints, but never ends the process. */
import { Command, CommanderError } from 'commander';
import { version } from '../../package.json';
import { SparrowError } from '../errors.ts';
import { commands } from './commands/index.ts';
import { normaliseArguments, valueTaker } from './options.ts';

const examples = `
Examples:
  sparrow demo
  sparrow train --dataset shapes --arch resnet8 --width 8 --limit 1000 --eval-limit 200 --epochs 3 --save-dir runs/small
  sparrow train --help`;

const footer = `
Exit codes:
  0 done    1 failed    2 wrong usage    130 interrupted`;

/** The program with all its commands; parsing errors are thrown. */
export function createProgram(): Command {
  const program = new Command('sparrow')
    .description('Sparse robust training on WebGPU.')
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .usage('<command> [flags]')
    .addHelpText('after', examples)
    .addHelpText('afterAll', footer)
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  for (const add of commands) add(program);
  return program;
}

/** Runs one command. @returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted */
export async function run(argv: readonly string[]): Promise<number> {
  try {
    const program = createProgram();
    if (argv[0] === 'help' && argv.length > 1 && !program.commands.some(command => command.name() === argv[1]))
      return await run(argv.slice(1)); // commander prints all of its help and names no mistake
    await program.parseAsync(normaliseArguments(argv, valueTaker(program, argv)), { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return reportUsage(error);
    if (error instanceof SparrowError) {
      process.stderr.write(`sparrow: ${oneLine(error.message)}\n`);
      return error.exitCode;
    }
    process.stderr.write(
      `${(error as Error)?.stack ?? error}\nsparrow: this is a bug in sparrow; please report it with the lines above\n`,
    );
    return 1;
  }
}

/** Commander's own errors: help and version are no errors; the rest is wrong usage, told in one line. */
function reportUsage(error: CommanderError): number {
  if (error.exitCode === 0) return 0;
  if (error.code !== 'commander.help') {
    const message = error.message
      .replace(/^error: /, '')
      .replace(/\n?\((Did you mean [^)]*\?)\)/, (_, hint: string) => `; ${lower(hint)}`);
    process.stderr.write(`sparrow: ${oneLine(message)}\n`);
  }
  return 2;
}

function lower(text: string): string {
  return text[0].toLowerCase() + text.slice(1);
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' ');
}
