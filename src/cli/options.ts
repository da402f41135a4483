/** From tables of settings to commander's options and back, and the spelling rules of the command line. */
import { type Command, Option } from 'commander';
import { UsageError } from '../errors.ts';
import { type Flag, type FlagTable, flagName, parseFlag, type Settings } from '../train/flags.ts';

/** Adds every row of a table to a command, under a heading of its help. */
export function addFlags(command: Command, heading: string, table: FlagTable): Command {
  command.optionsGroup(`${heading}:`);
  for (const [key, flag] of Object.entries(table)) command.addOption(optionOf(key, flag));
  return command;
}

/** `--json` and `--quiet`, which every command that works for a while takes. */
export function addOutputOptions(command: Command): Command {
  return command
    .optionsGroup('Output:')
    .option('--json', 'print the result as exactly one JSON object on stdout')
    .option('--quiet', 'no progress on stderr');
}

function optionOf(key: string, flag: Flag<unknown>): Option {
  const name = flagName(key, flag);
  const note = flag.required ? 'required' : defaultNote(flag);
  const option = new Option(
    flag.placeholder ? `${name} <${flag.placeholder}>` : name,
    note ? `${flag.help} (${note})` : flag.help,
  );
  if (flag.placeholder) option.argParser(value => parseFlag(key, flag, value));
  else option.preset(flag.given);
  return option;
}

function defaultNote(flag: Flag<unknown>): string {
  if (!flag.placeholder) return '';
  const text = flag.defaultText ?? (flag.default === undefined ? '' : String(flag.default));
  const env = flag.env ? `, or ${flag.env}` : '';
  return text && `default: ${text}${env}`;
}

/**
 * The settings given on the command line, or by a row's environment variable; nothing for those left to their defaults.
 * @throws UsageError if an environment variable has a value that its flag does not allow
 */
export function givenFlags<F extends FlagTable>(command: Command, table: F): Partial<Settings<F>> {
  const options = command.opts();
  const given: Record<string, unknown> = {};
  for (const [key, flag] of Object.entries(table)) {
    const text = flag.env && process.env[flag.env];
    if (command.getOptionValueSource(key) === 'cli') given[key] = options[key];
    else if (text) given[key] = fromEnvironment(key, flag, text);
  }
  return given as Partial<Settings<F>>;
}

function fromEnvironment(key: string, flag: Flag<unknown>, text: string): unknown {
  try {
    return parseFlag(key, flag, text);
  } catch (error) {
    throw error instanceof UsageError ? new UsageError(`environment variable ${flag.env}: ${error.message}`) : error;
  }
}

/**
 * Arguments with flags in their canonical spelling: `--save_dir` becomes `--save-dir`; values and everything after `--` stay as they
 * are. As in Python's argparse a value that begins with `--` must be written `--flag=--value`, so that a forgotten value is noticed.
 * @param takesValue whether a flag (in its canonical spelling) is followed by a value; nothing where there is no such flag
 * @throws UsageError if a flag lacks its value, or has one that it does not take
 */
export function normaliseArguments(argv: readonly string[], takesValue: (flag: string) => boolean | undefined): string[] {
  const end = argv.indexOf('--');
  const flags = end === -1 ? argv : argv.slice(0, end);
  const out = flags.map((token, i) => {
    if (!token.startsWith('--')) return token;
    const [name] = token.split('=', 1);
    const flag = name.replaceAll('_', '-');
    if (name === token && takesValue(flag) && (flags[i + 1] ?? '--').startsWith('--'))
      throw new UsageError(`${flag} needs a value`);
    if (name !== token && takesValue(flag) === false)
      throw new UsageError(`${flag} takes no value: leave out '${token.slice(name.length)}'`);
    return flag + token.slice(name.length);
  });
  return end === -1 ? out : [...out, ...argv.slice(end)];
}

/** Whether a flag takes a value in the (sub)command that the arguments name; nothing where it has no such flag. */
export function valueTaker(program: Command, argv: readonly string[]): (flag: string) => boolean | undefined {
  let command = program;
  for (const token of argv) command = command.commands.find(c => c.name() === token) ?? command;
  return flag => command.options.find(option => option.long === flag)?.required;
}
