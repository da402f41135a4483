/** The library: what `import ... from 'sparrow-webgpu'` offers, in Node and in browsers. */
export * from './device/index.ts';
