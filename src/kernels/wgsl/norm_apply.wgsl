// The passes over all elements of [N, C, HW] (as vec4 where HW % 4 = 0), one invocation an element or vec4:
//
//   FORWARD:    y = [relu](x·scale_c + shift_c)
//   BACKWARD:   y = scale_c·(g' - b_c - x̂·a_c)    a = Σ g'·x̂ / M, b = Σ g' / M  over the channel (train mode);  0 in eval mode
//
// with x̂ = (x - mean)·invstd and g' = g where the forward output passed the ReLU (RELU), else g. sums [2, C] = Σ g', Σ g'·x̂.
struct Params { size: u32, c: u32, hw: u32, count: u32 }
@group(0) @binding(0) var<uniform> p: Params;
//% if VEC
alias T = vec4f;
//% else
alias T = f32;
//% end
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read> stats: array<f32>;
//% if FORWARD
@group(0) @binding(3) var<storage, read_write> y: array<T>;
//% else
@group(0) @binding(3) var<storage, read> g: array<T>;
//% if TRAIN
@group(0) @binding(4) var<storage, read> sums: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<T>;
//% else
@group(0) @binding(4) var<storage, read_write> y: array<T>;
//% end
//% end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.size) { return; }
  let c = (i / p.hw) % p.c;
  let scale = stats[2u * p.c + c];
  let shift = stats[3u * p.c + c];
  let v = x[i];
//% if FORWARD
//% if RELU
  y[i] = max(v * scale + T(shift), T(0.0));
//% else
  y[i] = v * scale + T(shift);
//% end
//% else
  var d = g[i];
//% if RELU
  d = select(T(0.0), d, v * scale + T(shift) > T(0.0));
//% end
//% if TRAIN
  let m = f32(p.count);
  let xhat = (v - T(stats[c])) * stats[p.c + c];
  d = d - T(sums[c] / m) - xhat * (sums[p.c + c] / m);
//% end
  y[i] = d * scale;
//% end
}
