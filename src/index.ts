/**
 * The library: what `import ... from 'sparrow-webgpu'` offers, in Node and in browsers. Operations are the differentiable ones.
 */
export * from './adv/apgd.ts';
export * from './adv/autoattack.ts';
export type { Outcome, Pace } from './adv/batch.ts';
export * from './adv/fab.ts';
export * from './adv/losses.ts';
export * from './adv/pgd.ts';
export { type SquareSettings, squareAttack } from './adv/square.ts';
export * from './adv/survivors.ts';
export * from './autograd/index.ts';
export { encodeSafetensors, parseSafetensors, type Safetensors, type StoredTensor, toFloat32 } from './data/safetensors.ts';
export { shapes } from './data/shapes.ts';
export type { DataSet, Split } from './data/types.ts';
export * from './device/index.ts';
export { FileError, SparrowError, UsageError } from './errors.ts';
export { type Choice, type Choices, choicesOf, loadChoices, useChoices, type Variant } from './kernels/choices.ts';
export * from './nn/channels.ts';
export * from './nn/init.ts';
export * from './nn/layers.ts';
export * from './nn/macs.ts';
export * from './nn/models/index.ts';
export { type Architecture, architectures } from './nn/models/names.ts';
export * from './nn/module.ts';
export * from './nn/observe.ts';
export * from './nn/optim.ts';
export * from './nn/schedule.ts';
export * from './nn/state.ts';
export { type TunedConvolution, type TuneOptions, tuneModel } from './nn/tune.ts';
export * from './sparse/channels.ts';
export * from './sparse/densities/index.ts';
export * from './sparse/early-bird.ts';
export * from './sparse/flops.ts';
export * from './sparse/flying-bird.ts';
export * from './sparse/masks.ts';
export type { ConvOptions } from './tensor/conv.ts';
export type { TensorOrNumber } from './tensor/elementwise.ts';
export type { MatmulOptions } from './tensor/linalg.ts';
export { Random, type RandomState, Stream } from './tensor/philox.ts';
export type { PoolOptions } from './tensor/pool.ts';
export {
  type RandomOptions,
  randomNormal,
  randomPermutation,
  randomUniform,
  randomWords,
  replayNumber,
} from './tensor/random.ts';
export { argmax, type ReduceOptions } from './tensor/reduce.ts';
export { topK } from './tensor/rows.ts';
export { kthLargest, selectMask } from './tensor/select.ts';
export {
  capture,
  type Dtype,
  full,
  type HostArray,
  ones,
  type Shape,
  type Step,
  scope,
  Tensor,
  tensor,
  zeros,
} from './tensor/tensor.ts';
