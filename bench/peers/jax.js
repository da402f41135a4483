/**
 * jax-js for `sparrow bench --suite conv --peers`: the same convolutions on the same adapter. Plain JavaScript, because its types are there
 * only after `npm ci --prefix bench/peers`.
 */
import { blockUntilReady, defaultDevice, getWebGPUDevice, init, jit, lax, random, valueAndGrad } from '@jax-js/jax';
import { create, globals } from 'webgpu';

/** Referenced for as long as the process lives: Dawn dies when it is collected. */
let gpu;

/** Starts jax-js on the Vulkan driver that the environment shows (the one of the device that was opened before). */
export async function openPeer() {
  Object.assign(globalThis, globals);
  gpu = create(['enable-dawn-features=allow_unsafe_apis']);
  Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'Node.js' }, configurable: true });
  if (!(await init('webgpu')).includes('webgpu')) throw new Error('it finds no WebGPU adapter');
  defaultDevice('webgpu');
  return { name: 'jax-js 0.1.25', conv, close: () => getWebGPUDevice().destroy() };
}

/** A convolution of [n, ci, size, size], padded by floor(kernel/2): functions that run it `runs` times and wait for the last. */
async function conv({ n, ci, co, size, kernel, stride }) {
  const values = (shape, seed) => random.uniform(random.key(seed), shape, { minval: -1, maxval: 1 });
  const rows = Math.ceil(size / stride);
  const [x, w, g] = [values([n, ci, size, size], 1), values([co, ci, kernel, kernel], 2), values([n, co, rows, rows], 3)];
  const padding = Math.floor(kernel / 2);
  await blockUntilReady([x, w, g]);
  const apply = (a, b) =>
    lax.convGeneralDilated(
      a,
      b,
      [stride, stride],
      [
        [padding, padding],
        [padding, padding],
      ],
    );
  const forward = jit(apply);
  // a random output gradient, and the value kept: else the forward pass is dropped and the gradient's loads are broadcast
  const all = jit(valueAndGrad((a, b, d) => apply(a, b).mul(d).sum(), { argnums: [0, 1] }));
  const repeat = async (runs, once) => {
    for (let i = 0; i < runs; i++) {
      const results = once();
      if (i === runs - 1) await blockUntilReady(results);
      for (const array of results) array.dispose();
    }
  };
  return {
    forward: runs => repeat(runs, () => [forward(x.ref, w.ref)]),
    all: runs => repeat(runs, () => all(x.ref, w.ref, g.ref).flat()),
    dispose() {
      for (const array of [x, w, g]) array.dispose();
    },
  };
}
