/** What can go wrong on a device, as types. All of them surface at the next `await` of the device, never in the middle of a step. */
import { SparrowError } from '../errors.ts';

/** No adapter of the wanted kind. The message says what to do. */
export class NoAdapterError extends SparrowError {
  override name = 'NoAdapterError';
}

/** The device was lost: driver reset, removed, or destroyed while work was under way. */
export class DeviceLostError extends SparrowError {
  override name = 'DeviceLostError';
}

/** A buffer could not be made, or would not fit the adapter's limits. */
export class OutOfMemoryError extends SparrowError {
  override name = 'OutOfMemoryError';
}

/** The device refused a command: a defect in a kernel or in how it was launched. `kernel` is its label where it is known. */
export class ValidationError extends SparrowError {
  override name = 'ValidationError';
  readonly kernel: string | undefined;

  constructor(message: string, kernel?: string) {
    super(message);
    this.kernel = kernel;
  }
}
