// y[i0, i1, ...] = x[base + Σ_d i_d · stride_d]  where lo_d <= i_d < hi_d for every d,  else `bits`.
//
// One kernel for permute, flip, slice, crop, pad and expand: they differ in strides (negative ones flip), base and bounds only.
// One invocation an element of y; at most 8 dimensions. Words are copied as bits, so integers pass too.
struct Params {
  size: u32, rank: u32, base: i32, bits: u32,
  dims: array<vec4u, 2>,
  strides: array<vec4i, 2>,
  lo: array<vec4i, 2>,
  hi: array<vec4i, 2>,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.size) { return; }
  var rest = i;
  var at = p.base;
  var inside = true;
  for (var d = i32(p.rank) - 1; d >= 0; d--) {
    let size = p.dims[d / 4][d % 4];
    let k = i32(rest % size);
    rest /= size;
    inside = inside && k >= p.lo[d / 4][d % 4] && k < p.hi[d / 4][d % 4];
    at += k * p.strides[d / 4][d % 4];
  }
  y[i] = select(p.bits, x[select(0u, u32(at), inside)], inside);
}
