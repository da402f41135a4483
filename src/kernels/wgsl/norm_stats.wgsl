// What a normalisation by running statistics needs, one invocation a channel:
//
//   mean = running_mean,  invstd = 1/√(running_var + eps),  scale = γ·invstd,  shift = β - mean·scale;  stats [4, C] = mean, invstd, scale, shift
struct Params { c: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(3) var<storage, read> running: array<f32>;
@group(0) @binding(4) var<storage, read> running_var: array<f32>;
@group(0) @binding(5) var<storage, read_write> stats: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= p.c) { return; }
  let mean = running[c];
  let invstd = 1.0 / sqrt(running_var[c] + p.eps);
  let scale = gamma[c] * invstd;
  stats[c] = mean;
  stats[p.c + c] = invstd;
  stats[2u * p.c + c] = scale;
  stats[3u * p.c + c] = beta[c] - mean * scale;
}
