/** Every command, in the order of the help. A new command is a file beside this one and a line here. */
import type { Command } from 'commander';
import { addAdapters } from './adapters.ts';
import { addAttack } from './attack.ts';
import { addBench } from './bench.ts';
import { addData } from './data.ts';
import { addDemo } from './demo.ts';
import { addEval } from './eval.ts';
import { addExplain } from './explain.ts';
import { addExport } from './export.ts';
import { addInspect } from './inspect.ts';
import { addReport } from './report.ts';
import { addRobustBird } from './robust-bird.ts';
import { addSweep } from './sweep.ts';
import { addTrain } from './train.ts';

export const commands: readonly ((program: Command) => void)[] = [
  addDemo,
  addTrain,
  addRobustBird,
  addSweep,
  addEval,
  addAttack,
  addExplain,
  addInspect,
  addExport,
  addReport,
  addData,
  addAdapters,
  addBench,
];
