/** Fills a buffer with one 32-bit pattern. */
import { type Device, gridFor, type Storage, uniform } from '../device/index.ts';
import { program } from './kernel.ts';

/** y[i] = value as float32, i < size. */
export function fillFloat(device: Device, y: Storage, size: number, value: number): void {
  device.dispatch(program('fill', 'w'), [y], uniform().uint(size).float(value), gridFor(Math.ceil(size / 4), 64));
}

/** y[i] = value as a 32-bit integer, i < size. */
export function fillInt(device: Device, y: Storage, size: number, value: number): void {
  device.dispatch(program('fill', 'w'), [y], uniform().uint(size).int(value), gridFor(Math.ceil(size / 4), 64));
}
