/** Command lines as the real program parses them, with nothing run. */
import type { Command } from 'commander';
import { normaliseArguments, valueTaker } from '../../src/cli/options.ts';
import { createProgram } from '../../src/cli/program.ts';

/** The command that the arguments name, with its options parsed. @throws what the program throws for wrong usage */
export function parseCommand(argv: readonly string[]): Command {
  const program = createProgram();
  let command: Command = program;
  for (const name of argv) {
    const next = command.commands.find(c => c.name() === name);
    if (!next) break;
    command = next;
  }
  command.action(() => {});
  program.parse(normaliseArguments(argv, valueTaker(program, argv)), { from: 'user' });
  return command;
}
