/** PyTorch's default initialisation of convolution and linear layers. */

/**
 * Both weights and biases are uniform in (-b, b) with b = 1/sqrt(fan in), fan in = inputs of one output = C/groups·R·S. (PyTorch writes
 * it as Kaiming-uniform with a = sqrt(5): sqrt(6/((1 + 5)·fan in)).) The standard deviation is b/sqrt(3).
 */
export function defaultBound(weightShape: readonly number[]): number {
  return 1 / Math.sqrt(weightShape.slice(1).reduce((product, n) => product * n, 1));
}
