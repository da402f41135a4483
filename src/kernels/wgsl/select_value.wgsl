// y[0] = x[~state[1]]: the element at which a selection ended (see select.wgsl).
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> state: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(1)
fn main() { y[0] = x[~state[1]]; }
