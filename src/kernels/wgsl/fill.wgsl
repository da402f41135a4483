// y[i] = bits, for i < size: floats and integers alike. One invocation a vec4; buffers are padded so that the last may pass the end.
struct Params { size: u32, bits: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<vec4u>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i * 4u < p.size) { y[i] = vec4u(p.bits); }
}
