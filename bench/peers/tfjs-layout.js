/** Between the parent's layouts, NCHW of images and OIHW of weights, and TensorFlow.js's: orders for `tf.transpose`. */

export const NHWC = [0, 2, 3, 1];
export const HWIO = [2, 3, 1, 0];
export const NCHW = [0, 3, 1, 2];
export const OIHW = [3, 2, 0, 1];

/** A tensor of `{ values, shape }` with its axes in another order. */
export const fromPlanes = (tf, { values, shape }, order) => tf.tidy(() => tf.transpose(tf.tensor(values, shape), order));
