/**
 * Modules: objects whose fields are parameters, buffers and other modules. Names follow the fields, with array positions as numbers, which
 * gives PyTorch's state_dict names (`layer1.0.bn1.weight`).
 */
import { track } from '../autograd/tape.ts';
import { Tensor } from '../tensor/tensor.ts';

/** A trained tensor: lives until disposed, and is tracked. Updates are in place, so captured steps keep seeing it. */
export class Parameter extends Tensor {
  /** The share of its elements that a mask leaves; 1 without a mask. Tells convolutions whether skipping zeros pays. */
  density = 1;

  constructor(value: Tensor) {
    super(value.device, value.storage, value.shape, value.dtype);
    this.keep();
    track(this);
  }
}

/** A tensor that belongs to the state but is not trained (running statistics). */
export class StateBuffer extends Tensor {
  constructor(value: Tensor) {
    super(value.device, value.storage, value.shape, value.dtype);
    this.keep();
  }
}

type Member = Parameter | StateBuffer | Module;
const isMember = (value: unknown): value is Member =>
  value instanceof Parameter || value instanceof StateBuffer || value instanceof Module;

const joinName = (prefix: string, key: string) => (prefix ? `${prefix}.${key}` : key);

/**
 * A part of a network: its fields that are parameters, buffers or modules, or arrays of these, are found by name. Fields whose names begin with # are not:
 * JavaScript hides them.
 */
export abstract class Module {
  /** Train mode: batch statistics, dropout. Set through `train` and `eval`. */
  training = true;

  abstract forward(x: Tensor): Tensor;

  /** Parameters, buffers and submodules by field name, one level deep. */
  private *members(): Generator<[string, Member]> {
    for (const [key, value] of Object.entries(this)) {
      if (isMember(value)) yield [key, value];
      else if (Array.isArray(value)) for (const [i, v] of value.entries()) if (isMember(v)) yield [`${key}.${i}`, v];
    }
  }

  /** This module and all below it, with their names (the root's is empty): each once, under its first name. */
  *modules(prefix = '', seen = new Set<Module>()): Generator<[string, Module]> {
    if (seen.has(this)) return;
    seen.add(this);
    yield [prefix, this];
    for (const [key, value] of this.members()) if (value instanceof Module) yield* value.modules(joinName(prefix, key), seen);
  }

  private *tensors(prefix = ''): Generator<[string, Parameter | StateBuffer]> {
    for (const [key, value] of this.members()) {
      if (value instanceof Module) yield* value.tensors(joinName(prefix, key));
      else yield [joinName(prefix, key), value];
    }
  }

  /** Trained tensors by state_dict name, in the order of the network. One that has several names (tied weights) is there once, under its first. */
  parameters(): Map<string, Parameter> {
    const found = new Set<Parameter>();
    const isFirst = (e: [string, Parameter | StateBuffer]): e is [string, Parameter] =>
      e[1] instanceof Parameter && !found.has(e[1]) && !!found.add(e[1]);
    return new Map([...this.tensors()].filter(isFirst));
  }

  /** Parameters and buffers by state_dict name, under every name that they have. */
  state(): Map<string, Parameter | StateBuffer> {
    return new Map(this.tensors());
  }

  /** Switches this and all below to train mode, or back. */
  train(on = true): this {
    for (const [, m] of this.modules()) m.training = on;
    return this;
  }

  eval(): this {
    return this.train(false);
  }

  /** What `work` makes of this in eval mode; afterwards each module is in the mode in which it was. */
  evaluating<T>(work: () => T): T {
    const modes = [...this.modules()].map(([, m]) => ({ m, training: m.training }));
    this.eval();
    try {
      return work();
    } finally {
      for (const { m, training } of modes) m.training = training;
    }
  }

  /** Gives all memory back, that of the modules below included. */
  dispose(): void {
    for (const [, value] of this.members()) value.dispose();
  }
}
