// y[o, at + j, i] = x[o, j, i]: writes x into a range of y's middle dimension (concat).
//
// x [outer, count, inner], y [outer, total, inner]; one invocation an element of x. Words are copied as bits.
struct Params { size: u32, count: u32, inner: u32, total: u32, at: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.size) { return; }
  let inner = i % p.inner;
  let j = (i / p.inner) % p.count;
  let outer = i / (p.inner * p.count);
  y[(outer * p.total + p.at + j) * p.inner + inner] = x[i];
}
