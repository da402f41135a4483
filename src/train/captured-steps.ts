/** Captured steps by batch size, for as long as their kernels are those that a new capture would choose. */
import type { Device } from '../device/index.ts';
import type { Module } from '../nn/module.ts';
import { kernelKey } from '../nn/plan.ts';

/**
 * Mask updates change densities, and with them which kernel is the fastest. Steps captured before are then dropped, so that a run goes on with the
 * kernels that it would have after a resume, and gives the same bits.
 */
export class CapturedSteps<S extends { dispose(): void }> {
  private readonly device: Device;
  private readonly model: Module;
  private readonly steps = new Map<number, S>();
  private kernels = '';

  constructor(device: Device, model: Module) {
    this.device = device;
    this.model = model;
  }

  /** The step for batches of n, or undefined where one has to be captured. */
  get(n: number): S | undefined {
    const key = kernelKey(this.device, this.model);
    if (key !== this.kernels) this.dispose();
    this.kernels = key;
    return this.steps.get(n);
  }

  set(n: number, step: S): void {
    this.steps.set(n, step);
  }

  dispose(): void {
    for (const step of this.steps.values()) step.dispose();
    this.steps.clear();
  }
}
