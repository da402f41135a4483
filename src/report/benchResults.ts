/**
 * What the page of the bench knows: results of `sparrow bench` and of bench/torch/measure.py, one a line or one a file, brought together by
 * adapter. What a later one measures anew replaces the earlier, so that a long suite can be run in parts.
 */
import { basename } from 'node:path';
import { readFileText } from '../data/files.ts';
import { FileError } from '../errors.ts';
import { type Ceilings, type ConvSizes, ceilingsOf } from './roof.ts';

/** One measurement. */
export interface Measure {
  /** `Sparrow`, `Sparrow f16`, `Sparrow, tuned`, `jax-js`. */
  contestant: string;
  /** Whether it multiplies and adds in f32, as the adapter's measured ceiling does; f16 and TF32 have matrix units. */
  f32: boolean;
  /** The higher the better: at the median, the slowest and the fastest sample. */
  value: number;
  low: number;
  high: number;
  /** How many times as long as Sparrow it takes, where they took turns. */
  ratio?: number | undefined;
  /** Of a step under masks: their density to the last digit. */
  density?: number | undefined;
}

/** What was measured of one shape or network: by pass, each contestant once. */
export interface BenchRow {
  name: string;
  /** Of a convolution. */
  sizes?: ConvSizes;
  passes: Map<string, Measure[]>;
}

/** All that is known of one adapter. */
export interface AdapterResults {
  name: string;
  /** Node, commits, dates, versions of other libraries: each said once. */
  facts: Map<string, Set<string>>;
  /** By kind, then by name: convolutions in GFLOP/s, batch norm in GB/s, training steps in images/s. */
  rows: Record<Kind, Map<string, BenchRow>>;
  ceilings?: Ceilings;
  limits: { title: string; unit: string; value: number }[];
  /** What other libraries could not do, with their errors. */
  failures: Map<string, string>;
}

export type Kind = 'conv' | 'norm' | 'step';

/** The adapters in order of appearance. @throws FileError naming the file and the line that cannot be read */
export function readBenchResults(files: readonly string[]): AdapterResults[] {
  const adapters = new Map<string, AdapterResults>();
  for (const file of files) {
    for (const { line, text } of resultsIn(readFileText(file))) {
      try {
        addLine(adapters, JSON.parse(text) as Line);
      } catch (error) {
        const why = error instanceof SyntaxError ? 'is not JSON' : 'is no result of sparrow bench';
        throw new FileError(`${basename(file)}, line ${line}: ${why} (${(error as Error).message})`, { cause: error });
      }
    }
  }
  return [...adapters.values()].filter(a => a.limits.length > 0 || Object.values(a.rows).some(rows => rows.size > 0));
}

/** The results in a file, with the lines that they begin at: one over all lines, as measure.py prints it, or one a line. */
function resultsIn(text: string): { line: number; text: string }[] {
  if (isJson(text)) return [{ line: 1, text }];
  const lines = text.split('\n').map((part, i) => ({ line: i + 1, text: part }));
  return lines.filter(({ text: part }) => part.trim() !== '');
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

interface Timing {
  median: number;
  min: number;
  max: number;
}

interface Rate {
  gflops?: number;
  gbs?: number;
  timing: Timing;
}

interface Peer {
  name: string;
  version: string;
  error?: string;
  rates?: Record<string, Rate>;
  timing?: Timing;
  ratio?: Record<string, { median: number }> & { median?: number };
}

interface Shape {
  shape: string;
  sizes: ConvSizes | number[];
  own: Record<string, Rate>;
  peers?: Peer[];
}

/** A line of a file, as far as it is drawn; every other line is passed over. */
interface Line {
  suite?: string;
  parts?: Line[];
  adapter?: { description: string; kind: string };
  gpu?: string;
  node?: string;
  webgpu?: string;
  commit?: string;
  date?: string;
  cpu?: string;
  precision?: string;
  limits?: AdapterResults['limits'];
  shapes?: Shape[];
  arch?: string;
  width?: number;
  batchSize?: number;
  trainStep?: number;
  density?: number;
  /** How many kernels were chosen by measuring. */
  measuredKernels?: number;
  /** `uniform`, `igq`, ...: as `--sparse-init` is written. */
  sparseInit?: string;
  timing?: Timing;
  peers?: Peer[];
  /** Of measure.py: its version, what it measured on (`cpu` or a GPU's name), and results by mode. */
  torch?: string;
  device?: string;
  threads?: number;
  conv?: Record<string, (Shape | Failed)[]>;
  step?: Record<string, (Line | Failed)[]>;
}

/** What measure.py could not measure. */
interface Failed {
  failed: string;
  error: string;
}

type Contestant = Pick<Measure, 'contestant' | 'f32'>;

const torchModes: Record<string, Contestant> = {
  fp32: { contestant: 'PyTorch, TF32 off', f32: true },
  default: { contestant: 'PyTorch defaults', f32: false },
  amp: { contestant: 'PyTorch AMP', f32: false },
};

function addLine(adapters: Map<string, AdapterResults>, line: Line): void {
  const name = adapterOf(line);
  if (name === undefined) return;
  const at = adapters.get(name) ?? emptyResults(name);
  adapters.set(name, at);
  if (line.torch !== undefined) {
    fact(at, 'PyTorch', line.torch);
    for (const [mode, shapes] of Object.entries(line.conv ?? {})) {
      const label = ({ shape, sizes }: Shape) => `conv ${mode} batch ${batchOf(sizes)} ${shape}`;
      for (const shape of shapes) if (measured(at, shape, label)) addRates(at, 'conv', shape, torchModes[mode], shape.own);
    }
    for (const [mode, steps] of Object.entries(line.step ?? {})) {
      const label = ({ batchSize }: Line) => `step ${mode} batch ${batchSize}`;
      for (const step of steps) if (measured(at, step, label)) addStep(at, step, torchModes[mode], step.timing!);
    }
    return;
  }
  if (line.suite === undefined) return;
  fact(at, 'Node', line.node);
  fact(at, 'webgpu', line.webgpu);
  fact(at, 'CPU', line.cpu);
  fact(at, 'commit', line.commit);
  fact(at, 'measured', line.date?.slice(0, 10));
  const f32 = line.precision !== 'f16';
  const own = { contestant: `Sparrow${f32 ? '' : ' f16'}${line.measuredKernels ? ', tuned' : ''}`, f32 };
  for (const part of line.parts ?? [line]) addSuite(at, part, own);
}

/**
 * Whether PyTorch could measure something. If not, its error is a failure until a later result of the same has none.
 * @param label what measure.py calls it where it fails
 */
function measured<T extends object>(at: AdapterResults, result: T | Failed, label: (result: T) => string): result is T {
  if ('failed' in result) at.failures.set(`PyTorch, ${result.failed}`, result.error);
  else at.failures.delete(`PyTorch, ${label(result)}`);
  return !('failed' in result);
}

/** The GPU's own name where the result has it: its driver may call it otherwise in WebGPU. */
function adapterOf({ gpu, adapter, torch, device, threads }: Line): string | undefined {
  if (gpu !== undefined) return gpu;
  if (torch !== undefined) return device === 'cpu' ? `CPU, ${threads} threads` : device;
  return adapter && (adapter.description || adapter.kind);
}

const emptyResults = (name: string): AdapterResults => ({
  name,
  facts: new Map(),
  rows: { conv: new Map(), norm: new Map(), step: new Map() },
  limits: [],
  failures: new Map(),
});

function fact(at: AdapterResults, name: string, value: string | undefined): void {
  if (value) at.facts.set(name, (at.facts.get(name) ?? new Set()).add(value));
}

function addSuite(at: AdapterResults, result: Line, own: Contestant): void {
  const { suite, limits } = result;
  if (limits) {
    at.limits = limits;
    const ceilings = ceilingsOf(limits);
    if (ceilings) at.ceilings = ceilings;
  }
  if (suite === 'conv' || suite === 'norm') {
    for (const shape of result.shapes!) {
      const row = addRates(at, suite, shape, own, shape.own);
      for (const peer of shape.peers ?? []) {
        if (heard(at, peer, row.name)) addRates(at, suite, shape, library(peer), peer.rates!, peer.ratio);
      }
    }
  } else if (suite === 'step') {
    const row = addStep(at, result, own, result.timing!);
    for (const peer of result.peers ?? []) {
      if (heard(at, peer, row.name)) addStep(at, result, library(peer), peer.timing!, peer.ratio?.median);
    }
  }
}

/** Other libraries take turns in f32, whatever Sparrow computes in. */
const library = ({ name }: Peer): Contestant => ({ contestant: name, f32: true });

/** Whether a library has results; its version is a fact, its error a failure. */
function heard(at: AdapterResults, peer: Peer, where: string): boolean {
  fact(at, peer.name, peer.version);
  const key = `${peer.name}, ${where}`;
  if (peer.error === undefined) at.failures.delete(key);
  else at.failures.set(key, peer.error);
  return peer.error === undefined;
}

function addRates(
  at: AdapterResults,
  kind: Kind,
  { shape, sizes }: Shape,
  contestant: Contestant,
  rates: Record<string, Rate>,
  ratio?: Peer['ratio'],
): BenchRow {
  const row = rowOf(at, kind, `${shape}, batch ${batchOf(sizes)}`);
  if (!Array.isArray(sizes)) row.sizes = sizes;
  for (const [pass, { gflops, gbs, timing }] of Object.entries(rates)) {
    put(row, pass, { ...contestant, value: (gflops ?? gbs)!, ratio: ratio?.[pass]?.median }, timing);
  }
  return row;
}

const batchOf = (sizes: Shape['sizes']): number => (Array.isArray(sizes) ? sizes[0] : sizes.n);

function addStep(at: AdapterResults, of: Line, by: Contestant, timing: Timing, ratio?: number): BenchRow {
  const name = `${of.arch}, width ${of.width}, batch ${of.batchSize}, PGD-${of.trainStep}`;
  const row = rowOf(at, 'step', name);
  const masked = underMasks(by.contestant, of, row.passes.get('step') ?? []);
  put(row, 'step', { ...by, ...masked, value: of.batchSize! / (timing.median / 1000), ratio }, timing);
  return row;
}

/**
 * A library with the masks that it trained under: 'Sparrow, density 0.2, IGQ'. Results may not name their masks: those of
 * another density, be it in the last digit, are others then.
 */
function underMasks(
  library: string,
  { density = 1, sparseInit }: Line,
  others: readonly Measure[],
): Pick<Measure, 'contestant' | 'density'> {
  if (density === 1) return { contestant: library };
  const name = `${library}, density ${Number(density.toPrecision(2))}`;
  if (sparseInit) return { contestant: `${name}, ${sparseInit === 'uniform' ? sparseInit : sparseInit.toUpperCase()}`, density };
  const numbered = (n: number) => (n === 1 ? name : `${name}, masks ${n}`);
  let n = 1;
  while (others.some(m => m.contestant === numbered(n) && m.density !== density)) n++;
  return { contestant: numbered(n), density };
}

function rowOf(at: AdapterResults, kind: Kind, name: string): BenchRow {
  const row = at.rows[kind].get(name) ?? { name, passes: new Map() };
  at.rows[kind].set(name, row);
  return row;
}

/** A speed at the median, and by the spread of its times. */
function put(row: BenchRow, pass: string, measure: Omit<Measure, 'low' | 'high'>, { median, min, max }: Timing): void {
  const { contestant, value } = measure;
  const others = (row.passes.get(pass) ?? []).filter(m => m.contestant !== contestant);
  row.passes.set(pass, [...others, { ...measure, low: (value * median) / max, high: (value * median) / min }]);
}
