/**
 * What the commands need of the rest of the program, loaded only when a command runs: `--help` and wrong usage must answer at once
 * and without a GPU.
 */
import type { Fetched } from '../data/fetch.ts';
import type { WrittenExplanation } from '../report/explain.ts';
import type { DemoOptions, DemoOutcome, EvalResult, Progress, RobustBirdOutcome, RunHooks, TrainOutcome } from '../train/api.ts';
import type { EvalSettings } from '../train/attack-settings.ts';
import type { HostTensors, Identity } from '../train/checkpoint.ts';
import type { TrainConfig } from '../train/config.ts';
import type { ExplainSettings } from '../train/explain/settings.ts';
import type { ExportResult, ExportSettings } from '../train/export-settings.ts';
import type { NetworkPlan } from '../train/plan.ts';
import type { RobustBirdSettings } from '../train/robust-bird/settings.ts';
import type { Robustness } from '../train/robustness.ts';

/** Trains a model; saves into `config.saveDir`. Its first step is timed from the beginning of the process. */
export async function train(config: TrainConfig, hooks: RunHooks): Promise<TrainOutcome> {
  return (await import('../train/run.ts')).trainRun(config, hooks, { begun: 0 });
}

/** Trains the two stages of Robust Bird, each in a folder of its own. */
export async function robustBird(settings: RobustBirdSettings, hooks: RunHooks): Promise<RobustBirdOutcome> {
  return (await import('../train/robust-bird/run.ts')).trainRobustBird(settings, hooks);
}

/** Scores the checkpoint `config.pretrained` on test, by SA and by the evaluation PGD. */
export async function score(config: TrainConfig, hooks: RunHooks): Promise<EvalResult> {
  return (await import('../train/evaluate.ts')).scoreCheckpoint(config, hooks);
}

/** Scores a checkpoint under attacks; hands the attacked images back where they are asked for. */
export async function robustness(settings: EvalSettings, hooks: RunHooks, keepImages: boolean): Promise<Robustness> {
  return (await import('../train/robustness.ts')).scoreRobustness(settings, hooks, keepImages);
}

/** Explains a checkpoint, and writes the page, the numbers and, where they are asked for, the figures into `folder`. */
export async function explain(
  settings: ExplainSettings,
  folder: string,
  figureFiles: boolean,
  hooks: RunHooks,
): Promise<WrittenExplanation> {
  const [engine, report] = await Promise.all([import('../train/explain/explain.ts'), import('../report/explain.ts')]);
  const explanation = await engine.explain(settings, hooks);
  const onFigure = (done: number, total: number) => hooks.onProgress?.({ label: 'drawing figures', done, total });
  return report.writeExplanation(folder, explanation, { figureFiles, onFigure });
}

/** Writes a checkpoint in the format of other programs. */
export async function exportCheckpoint(settings: ExportSettings, hooks: RunHooks): Promise<ExportResult> {
  return (await import('../train/export.ts')).exportCheckpoint(settings, hooks);
}

/** Multiply-adds of one image for each layer of a checkpoint, by name. */
export async function layerWork(model: HostTensors, identity: Identity, file: string): Promise<Map<string, number>> {
  return (await import('../train/layer-work.ts')).layerWork(model, identity, file);
}

/** The kernels that a checkpoint's network would train with on this adapter. */
export async function plan(...what: Parameters<typeof import('../train/plan.ts').planCheckpoint>): Promise<NetworkPlan> {
  return (await import('../train/plan.ts')).planCheckpoint(...what);
}

/** What makes pages, figures and tables of runs. */
export async function report(): Promise<typeof import('../report/index.ts')> {
  return import('../report/index.ts');
}

export async function demo(options: DemoOptions, hooks: RunHooks): Promise<DemoOutcome> {
  return (await import('./demo.ts')).runDemo(options, hooks);
}

/** One kind of adapter: what was found, or why it was refused. */
export interface FoundAdapter {
  readonly kind: string;
  readonly adapter?: GPUAdapter;
  readonly description?: { readonly vendor: string; readonly architecture: string; readonly description: string };
  readonly refused?: string;
}

export async function listAdapters(): Promise<readonly FoundAdapter[]> {
  return (await import('../device/platform/node.ts')).listAdapters();
}

/** Installs Mesa's software driver. `confirm` is asked with the exact commands; `onOutput` gets what they print. */
export async function installLavapipe(confirm: (commands: string) => Promise<boolean>): Promise<void> {
  return (await import('../device/platform/node.ts')).installLavapipe(confirm);
}

/** Downloads a data set into `folder`, going on where an earlier attempt broke off. @param from another server's folder than the publisher's */
export async function fetchDataset(
  name: string,
  folder: string,
  from: string | undefined,
  onProgress: (progress: Progress) => void,
): Promise<Fetched> {
  const options = { onProgress: downloadProgress(name, onProgress), ...(from !== undefined && { baseUrl: from }) };
  return (await import('../data/fetch.ts')).fetchDataSet(name, folder, options);
}

/** Checks a data set's files. @throws FileError naming the first file that is missing or damaged */
export async function verifyDataset(name: string, folder: string, hooks: RunHooks): Promise<void> {
  await (await import('../data/fetch.ts')).verifyDataSet(name, folder, {}, hooks);
}

/** Bytes received, as a progress line. */
function downloadProgress(name: string, onProgress: (progress: Progress) => void) {
  return ({ received, total, bytesPerSecond }: { received: number; total?: number | undefined; bytesPerSecond: number }) =>
    onProgress({
      label: name,
      done: received,
      ...(total ? { total } : {}),
      fields: { speed: `${(bytesPerSecond / 2 ** 20).toFixed(1)} MiB/s` },
    });
}
