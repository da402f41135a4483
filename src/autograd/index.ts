/** Differentiable operations: everything a model is written in. */
export * from './conv.ts';
export * from './elementwise.ts';
export * from './gather.ts';
export * from './linalg.ts';
export * from './loss.ts';
export * from './norm.ts';
export * from './pool.ts';
export * from './reduce.ts';
export * from './shape.ts';
export * from './tape.ts';
