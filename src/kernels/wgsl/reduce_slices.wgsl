// y[i] = Σ_s part[s, i], in the order of s.
struct Params { size: u32, slices: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.size) { return; }
  var sum = 0.0;
  for (var s = 0u; s < p.slices; s++) { sum += part[s * p.size + i]; }
  y[i] = sum;
}
