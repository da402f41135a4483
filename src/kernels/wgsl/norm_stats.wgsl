// From the slices' sums to what a normalisation needs, one invocation a channel:
//
//   mean = k + Σ(x - k)/M,  var = Σ(x - k)²/M - (mean - k)²,  invstd = 1/√(var + eps),  scale = γ·invstd,  shift = β - mean·scale
//   running_mean += momentum·(mean - running_mean),  running_var += momentum·(var·M/(M-1) - running_var)     (UPDATE)
//
// EVAL takes mean and var from the running statistics instead. stats [4, C] = mean, invstd, scale, shift.
struct Params { c: u32, hw: u32, count: u32, slices: u32, eps: f32, momentum: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
//% if EVAL
@group(0) @binding(3) var<storage, read> running: array<f32>;
@group(0) @binding(4) var<storage, read> running_var: array<f32>;
@group(0) @binding(5) var<storage, read_write> stats: array<f32>;
//% else
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> part: array<f32>;
@group(0) @binding(5) var<storage, read_write> stats: array<f32>;
//% if UPDATE
@group(0) @binding(6) var<storage, read_write> running: array<f32>;
@group(0) @binding(7) var<storage, read_write> running_var: array<f32>;
//% end
//% end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= p.c) { return; }
//% if EVAL
  let mean = running[c];
  let variance = running_var[c];
//% else
  var sum = 0.0;
  var squares = 0.0;
  for (var s = 0u; s < p.slices; s++) {
    sum += part[s * 2u * p.c + c];
    squares += part[(s * 2u + 1u) * p.c + c];
  }
  let m = f32(p.count);
  let d = sum / m;
  let mean = x[c * p.hw] + d;
  let variance = max(squares / m - d * d, 0.0);
//% if UPDATE
  running[c] += p.momentum * (mean - running[c]);
  running_var[c] += p.momentum * (variance * m / max(m - 1.0, 1.0) - running_var[c]);
//% end
//% end
  let invstd = 1.0 / sqrt(variance + p.eps);
  let scale = gamma[c] * invstd;
  stats[c] = mean;
  stats[p.c + c] = invstd;
  stats[2u * p.c + c] = scale;
  stats[3u * p.c + c] = beta[c] - mean * scale;
}
