// The passes over all elements of [N, C, HW] (as vec4 where HW % 4 = 0), in the slices of images that norm_sums has, whose sums they add up:
//
//   FORWARD:   y = [relu](x·scale + shift)
//     TRAIN:     k = x[0, c, 0];  d = Σ(x - k)/M,  mean = k + d,  var = Σ(x - k)²/M - d²,  invstd = 1/√(var + eps),
//                scale = γ·invstd,  shift = β - mean·scale;  stats [4, C] = mean, invstd, scale, shift;
//                running_mean += momentum·(mean - running_mean),  running_var += momentum·(var·M/(M-1) - running_var)   (UPDATE)
//   BACKWARD:  y = scale·(g' - b - x̂·a) [+ before],  x̂ = (x - mean)·invstd,  g' = g where the forward output passed the ReLU (RELU), else g;
//              before (ADD): another gradient by x, of its size
//     TRAIN:     sums [2, C] = Σ g', Σ g'·x̂;  b = Σ g'/M,  a = Σ g'·x̂/M;  in eval mode a = b = 0
//
// part [SLICES, 2, C]. One workgroup a (channel, slice): each joins the slices' sums by a fixed tree, because that takes less time than a launch
// between the passes, and the first of a channel writes them. $(SPAN) invocations side by side walk an image's positions, $(GROUP/SPAN) images at a time.
struct Params { n: u32, c: u32, hw: u32, slices: u32, rows: u32, count: u32, eps: f32, momentum: f32 }
@group(0) @binding(0) var<uniform> p: Params;
//% if VEC
alias T = vec4f;
//% else
alias T = f32;
//% end
@group(0) @binding(1) var<storage, read> x: array<T>;
//% if FORWARD
//% if TRAIN
@group(0) @binding(2) var<storage, read_write> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<T>;
@group(0) @binding(4) var<storage, read> part: array<f32>;
@group(0) @binding(5) var<storage, read> gamma: array<f32>;
@group(0) @binding(6) var<storage, read> beta: array<f32>;
//% if UPDATE
@group(0) @binding(7) var<storage, read_write> running: array<f32>;
@group(0) @binding(8) var<storage, read_write> running_var: array<f32>;
//% end
//% else
@group(0) @binding(2) var<storage, read> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<T>;
//% end
//% else
@group(0) @binding(2) var<storage, read> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<T>;
@group(0) @binding(4) var<storage, read> g: array<T>;
//% if TRAIN
@group(0) @binding(5) var<storage, read> part: array<f32>;
@group(0) @binding(6) var<storage, read_write> sums: array<f32>;
//% end
//% if ADD
@group(0) @binding($(5+2*TRAIN)) var<storage, read> before: array<T>;
//% end
//% end
//% if TRAIN

var<workgroup> joined: array<vec2f, $(GROUP)>;
//% end

@compute @workgroup_size($(GROUP))
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let o = linear_group(group, groups);
  let c = o % p.c;
//% if TRAIN
  var own = vec2f();
  for (var s = l; s < p.slices; s += $(GROUP)u) { own += vec2f(part[2u * s * p.c + c], part[(2u * s + 1u) * p.c + c]); }
  joined[l] = own;
  for (var half = $(GROUP/2)u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (l < half) { joined[l] += joined[l + half]; }
  }
  workgroupBarrier();
  let total = joined[0];
  let m = f32(p.count);
  let writes = o < p.c && l == 0u;
//% end
//% if FORWARD && TRAIN
//% if VEC
  let k = x[c * p.hw].x;
//% else
  let k = x[c * p.hw];
//% end
  let d = total.x / m;
  let mean = k + d;
  let variance = max(total.y / m - d * d, 0.0);
  let invstd = 1.0 / sqrt(variance + p.eps);
  let scale = gamma[c] * invstd;
  let shift = beta[c] - mean * scale;
  if (writes) {
    stats[c] = mean;
    stats[p.c + c] = invstd;
    stats[2u * p.c + c] = scale;
    stats[3u * p.c + c] = shift;
//% if UPDATE
    running[c] += p.momentum * (mean - running[c]);
    running_var[c] += p.momentum * (variance * m / max(m - 1.0, 1.0) - running_var[c]);
//% end
  }
//% else
  let mean = stats[c];
  let invstd = stats[p.c + c];
  let scale = stats[2u * p.c + c];
  let shift = stats[3u * p.c + c];
//% if TRAIN
  if (writes) {
    sums[c] = total.x;
    sums[p.c + c] = total.y;
  }
  let b = total.x / m;
  let a = total.y / m;
//% end
//% end

  let first = o / p.c * p.rows;
  let last = min(first + p.rows, p.n);
  for (var n = first + l / $(SPAN)u; n < last; n += $(GROUP/SPAN)u) {
    let plane = (n * p.c + c) * p.hw;
    for (var i = plane + l % $(SPAN)u; i < plane + p.hw; i += $(SPAN)u) {
      let v = x[i];
//% if FORWARD
//% if RELU
      y[i] = max(v * scale + T(shift), T());
//% else
      y[i] = v * scale + T(shift);
//% end
//% else
      var d = g[i];
//% if RELU
      d = select(T(), d, v * scale + T(shift) > T());
//% end
//% if TRAIN
      d = d - T(b) - (v - T(mean)) * invstd * a;
//% end
//% if ADD
      y[i] = d * scale + before[i];
//% else
      y[i] = d * scale;
//% end
//% end
    }
  }
}
