/**
 * Reverse-mode differentiation. An operation on a tracked tensor records a node: its inputs and a function from the output's gradient to the
 * inputs' gradients. `grad` walks the nodes from last to first.
 *
 * - Only paths that reach a wanted tensor are walked, and each backward is told which inputs need a gradient: an attack, which wants the
 *   gradient by pixels, never computes one by weights.
 * - Backward functions are written in the same differentiable operations. Recording is off while they run, unless `createGraph` asks for
 *   gradients of gradients.
 * - A backward returns new tensors, or `g` itself. Gradients of intermediate results go back to the pool as soon as they are used up.
 * - Gradients that reach a tensor from several operations are added up. A backward whose kernel can add while it writes asks for what there is.
 */
import { add as rawAdd } from '../tensor/elementwise.ts';
import { ones, scope, type Tensor } from '../tensor/tensor.ts';

/**
 * Gradients by the inputs; `needs[i]` tells which are wanted, others may be undefined. `before(i)` takes the gradient that input i has from
 * later operations, if any: whoever takes it returns the sum of both, which saves a pass where a kernel adds while it writes.
 */
export type Backward = (
  g: Tensor,
  needs: readonly boolean[],
  before: (i: number) => Tensor | undefined,
) => (Tensor | undefined)[];

interface Node {
  /** Rises with every record: later nodes depend on earlier ones only. */
  id: number;
  op: string;
  inputs: readonly Tensor[];
  /** The versions of the inputs' memory, see `checkUnwritten`. */
  versions: readonly number[];
  backward: Backward;
  attributes: Attributes;
}

/** What an operation was asked for beside its inputs, by name. */
export type Attributes = Readonly<Record<string, unknown>>;

const nodes = new WeakMap<Tensor, Node>();
const leaves = new WeakSet<Tensor>();
let recording = true;
let nextId = 0;

/** Marks a tensor whose gradient may be asked for. */
export function track(t: Tensor): Tensor {
  leaves.add(t);
  return t;
}

/** Whether gradients can be asked for by this tensor, or pass through it. */
export function isTracked(t: Tensor): boolean {
  return leaves.has(t) || nodes.has(t);
}

/** Whether operations are recorded now. */
export function isRecording(): boolean {
  return recording;
}

/**
 * Records an operation; returns its output. For writing operations: see any file beside this one.
 * @param attributes what `history` tells of it beside its inputs
 */
export function record(
  op: string,
  inputs: readonly Tensor[],
  output: Tensor,
  backward: Backward,
  attributes: Attributes = {},
): Tensor {
  if (recording && inputs.some(isTracked)) {
    const versions = inputs.map(t => t.storage.version);
    nodes.set(output, { id: nextId++, op, inputs, versions, backward, attributes });
  }
  return output;
}

/** How a tensor was made, where that was recorded. `id` is larger than those of its inputs' makers. */
export function history(t: Tensor): Readonly<Pick<Node, 'id' | 'op' | 'inputs' | 'attributes'>> | undefined {
  return nodes.get(t);
}

function withRecording<T>(on: boolean, work: () => T): T {
  const before = recording;
  recording = on;
  try {
    const result = work();
    if (result instanceof Promise)
      throw new Error(
        `${on ? 'enableGrad' : 'noGrad'} is synchronous: what follows an await is outside of it, so await before or after`,
      );
    return result;
  } finally {
    recording = before;
  }
}

/** Runs `work` without recording: for evaluation, statistics and updates. Synchronous only. */
export function noGrad<T>(work: () => T): T {
  return withRecording(false, work);
}

/**
 * Runs `work` with recording on, inside of `noGrad` too: for what needs gradients of its own, such as an attack during evaluation. Synchronous only.
 */
export function enableGrad<T>(work: () => T): T {
  return withRecording(true, work);
}

/** The same values with no history: gradients do not flow through. */
export function detach(t: Tensor): Tensor {
  return t.reshape(t.shape);
}

export interface GradOptions {
  /** The gradient of whatever is differentiated by `y`; ones by default (y is then usually a loss of one element). */
  seed?: Tensor;
  /** Records the backward pass too, so that the gradients can be differentiated again. */
  createGraph?: boolean;
}

/** Nodes from which one of `wanted` is reached, latest first. */
function pathTo(y: Tensor, wanted: ReadonlySet<Tensor>): { output: Tensor; node: Node }[] {
  const found: { output: Tensor; node: Node }[] = [];
  const reaches = new Map<Tensor, boolean>();
  // Depth first with an explicit stack: a network is deeper than JavaScript's.
  const stack: { t: Tensor; entered: boolean }[] = [{ t: y, entered: false }];
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const node = nodes.get(top.t);
    if (reaches.has(top.t)) stack.pop();
    else if (!top.entered) {
      top.entered = true;
      for (const input of node?.inputs ?? []) if (!reaches.has(input)) stack.push({ t: input, entered: false });
    } else {
      stack.pop();
      const through = node?.inputs.some(input => reaches.get(input)) ?? false;
      reaches.set(top.t, through || wanted.has(top.t));
      if (through) found.push({ output: top.t, node: node! });
    }
  }
  return found.sort((a, b) => b.node.id - a.node.id);
}

/** A backward pass reads its inputs: where a tracked one was written since, as a weight by the optimiser, its gradients would be wrong. */
function checkUnwritten({ op, inputs, versions }: Node): void {
  const i = inputs.findIndex((t, at) => leaves.has(t) && t.storage.version !== versions[at]);
  if (i >= 0)
    throw new Error(
      `grad: a tensor of shape [${inputs[i].shape}] was written after ${op} used it: call grad before weights change, or compute the result again`,
    );
}

/**
 * The gradients of y by each tensor of `wanted`, in their order and shapes. Each is its own to dispose.
 * @throws Error where y does not depend on one of them, where a tracked tensor on the way was written since, or the seed has not y's shape
 */
export function grad(y: Tensor, wanted: readonly Tensor[], options?: GradOptions): Tensor[];
/** The same for a map, as the parameters of a module are: gradients by the same names. */
export function grad<Name>(y: Tensor, wanted: ReadonlyMap<Name, Tensor>, options?: GradOptions): Map<Name, Tensor>;
export function grad<Name>(
  y: Tensor,
  wanted: readonly Tensor[] | ReadonlyMap<Name, Tensor>,
  options: GradOptions = {},
): Tensor[] | Map<Name, Tensor> {
  if (Array.isArray(wanted)) return gradients(y, wanted, options);
  const byName = wanted as ReadonlyMap<Name, Tensor>;
  const found = gradients(y, [...byName.values()], options, [...byName.keys()]);
  return new Map([...byName.keys()].map((name, i) => [name, found[i]]));
}

/** @param names what an error calls them by, where they have any */
function gradients(
  y: Tensor,
  wanted: readonly Tensor[],
  { seed, createGraph = false }: GradOptions,
  names?: readonly unknown[],
): Tensor[] {
  if (seed && !sameShape(seed, y)) throw new Error(`grad: a seed of shape [${seed.shape}] for a result of shape [${y.shape}]`);
  const targets = new Set(wanted);
  const path = pathTo(y, targets);
  const reached = new Set(path.flatMap(p => [p.output, ...p.node.inputs]));
  const missing = wanted.findIndex(t => !reached.has(t) && t !== y);
  if (missing >= 0) {
    const { shape } = wanted[missing];
    const why = isTracked(wanted[missing])
      ? 'nothing that was recorded leads from it to the result'
      : 'track it before it is used';
    const which = names ? `'${names[missing]}'` : `tensor ${missing}`;
    const at = names ? '' : `, wanted[${missing}] of ${wanted.length}`;
    throw new Error(`grad: the result does not depend on ${which} of shape [${shape}]${at}: ${why}`);
  }
  for (const { node } of path) checkUnwritten(node);
  const onPath = new Set(path.map(p => p.output));
  const needed = (t: Tensor) => targets.has(t) || onPath.has(t);

  const gradientOf = new Map<Tensor, Tensor>();
  const holders = new Map<Tensor, number>();
  const hold = (t: Tensor) => void holders.set(t, (holders.get(t) ?? 0) + 1);
  const letGo = (t: Tensor) => {
    const left = holders.get(t)! - 1;
    holders.set(t, left);
    if (left === 0 && !createGraph) t.dispose();
  };

  return withRecording(createGraph, () => {
    const first = !seed ? ones(y.device, y.shape) : createGraph ? seed : detach(seed);
    gradientOf.set(y, first);
    hold(first);
    for (const { output, node } of path) {
      const g = gradientOf.get(output);
      if (!g) continue;
      const needs = node.inputs.map(needed);
      const taken: Tensor[] = [];
      const before = (i: number) => {
        const earlier = createGraph ? undefined : gradientOf.get(node.inputs[i]);
        if (earlier) {
          gradientOf.delete(node.inputs[i]);
          taken.push(earlier);
        }
        return earlier;
      };
      const run = () => node.backward(g, needs, before);
      const results = createGraph ? run() : scope(y.device, run);
      node.inputs.forEach((input, i) => {
        const result = results[i];
        if (!needs[i] || !result) return;
        if (!sameShape(result, input))
          throw new Error(`backward of ${node.op}: gradient [${result.shape}] for an input of shape [${input.shape}]`);
        const earlier = gradientOf.get(input);
        const total = earlier ? accumulate(earlier, result, createGraph) : result;
        hold(total);
        gradientOf.set(input, total);
        if (earlier) {
          letGo(earlier);
          if (!holders.has(result) && !createGraph) result.dispose();
        }
      });
      taken.forEach(letGo);
      if (!targets.has(output)) {
        gradientOf.delete(output);
        letGo(g);
      }
    }
    const given = new Set<Tensor>();
    return wanted.map(t => {
      const g = gradientOf.get(t);
      if (!g) throw new Error(`grad: no gradient reached tensor ${wanted.indexOf(t)} of shape [${t.shape}]`);
      if (given.has(g) && !createGraph) return detach(g);
      given.add(g);
      return g;
    });
  });
}

function sameShape(a: Tensor, b: Tensor): boolean {
  return a.rank === b.rank && a.shape.every((size, d) => size === b.shape[d]);
}

function accumulate(a: Tensor, b: Tensor, createGraph: boolean): Tensor {
  const sum = rawAdd(a, b);
  return createGraph ? record('add', [a, b], sum, g => [g, g]) : sum;
}
