/** The kernels' texts by name; the bundler makes this module from `src/kernels/wgsl`. */
declare module 'virtual:wgsl' {
  const kernels: Record<string, string>;
  export default kernels;
}
