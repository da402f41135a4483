/**
 * PyTorch's default initialisation: weights and biases of convolutions and linear layers are U(-b, b) with b = 1/√fan_in (which is what
 * `kaiming_uniform_(a=√5)` comes to). Drawn on the host, so that a seed gives the same weights on every adapter.
 */
import type { Device } from '../device/index.ts';
import type { Random } from '../tensor/philox.ts';
import { type Shape, sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';

/** U(-bound, bound). */
export function uniformInit(device: Device, shape: Shape, bound: number, random: Random): Tensor {
  const values = random.uniform(sizeOf(shape));
  for (let i = 0; i < values.length; i++) values[i] = (2 * values[i] - 1) * bound;
  return tensor(device, values, shape);
}

/** 1/√fan_in of a weight [OUT, IN, ...]. */
export function defaultBound(weight: Shape): number {
  return 1 / Math.sqrt(sizeOf(weight.slice(1)));
}

/**
 * N(0, 2/fan_out) for a convolution's weight [OUT, IN, K, K] (He et al. 2015, "Delving Deep into Rectifiers", section 2.2, the backward case;
 * `kaiming_normal_(mode='fan_out', nonlinearity='relu')`).
 */
export function kaimingNormalValues(weight: Shape, random: Random): Float32Array {
  const [outputs, , ...kernel] = weight;
  const deviation = Math.sqrt(2 / (outputs * sizeOf(kernel)));
  const values = new Float32Array(sizeOf(weight));
  const uniform = random.uniform(values.length + 1);
  for (let i = 0; i < values.length; i += 2) {
    // Box and Muller: two uniform numbers give two normal ones
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - uniform[i]));
    const angle = 2 * Math.PI * uniform[i + 1];
    values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}
