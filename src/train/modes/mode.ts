/**
 * What a training mode is: how one batch becomes one update of the weights. A mode is a file in this folder and a row of `index.ts`; it writes the
 * loss as it stands in its paper and leaves batches, capture, optimiser and sums to the trainer.
 */
import type { AttackSettings } from '../../adv/pgd.ts';
import type { Module } from '../../nn/module.ts';
import type { Random } from '../../tensor/philox.ts';
import type { RandomOptions } from '../../tensor/random.ts';
import type { Shape, Tensor } from '../../tensor/tensor.ts';

/** The numbers that modes take; each uses some. */
export interface ModeSettings {
  /**
   * Label smoothing s of the cross-entropy on which weights are trained: the target is (1-s)·onehot + s/K. Attacks do not see it,
   * but that of `free`, whose gradient is the one that trains.
   */
  readonly smoothing: number;
  /** Weight of the regulariser of `trades` and `mart`. */
  readonly beta: number;
  /** Size of the weight perturbation of `awp`, relative to a layer's norm. */
  readonly awpGamma: number;
  /** Updates that `free` makes on a batch. */
  readonly replays: number;
}

/** Gradients of the parameters by name. */
export type Gradients = ReadonlyMap<string, Tensor>;

/** What a step works with. Everything that it launches is captured, so it runs once for each size of batch. */
export interface StepContext {
  /** In train mode; a step that switches it switches it back. */
  readonly model: Module;
  readonly attack: AttackSettings;
  readonly settings: ModeSettings;
  /** May be drawn from once in a step: the draws of one iteration lie beside those of the next. */
  readonly random: Random;
  readonly draw: RandomOptions;
  /** By parameter name; empty where the network is dense. */
  readonly masks: ReadonlyMap<string, Tensor>;
  /** The mode's own tensors, see `TrainingMode.state`. */
  readonly state: ReadonlyMap<string, Tensor>;
  /** The gradients of the mean of losses [N]. */
  gradients(losses: Tensor): Gradients;
  /** One optimiser step. Losses [N] and logits [N, K] (those of the attacked images, where there are any) enter the epoch's sums. */
  descend(losses: Tensor, logits: Tensor, gradients: Gradients): void;
}

export interface TrainingMode {
  /** One batch: images [N, C, H, W] in [0, 1], labels int32 [N]. */
  step(context: StepContext, images: Tensor, labels: Tensor): void;
  /**
   * Work on an image in units of its forward pass: a forward pass, the gradient by its input and that by the weights count 1 each.
   * @param steps iterations of the training attack
   */
  passes(steps: number, settings: ModeSettings): number;
  /** The same in words, for the formula beside the number. */
  readonly passesText: string;
  /** Optimiser steps on a batch, where that is not one. */
  updates?(settings: ModeSettings): number;
  /** Tensors kept between steps (zero at first, saved in checkpoints), by name, for full batches of `shape` [N, C, H, W]. */
  state?(shape: Shape): Record<string, Shape>;
}
