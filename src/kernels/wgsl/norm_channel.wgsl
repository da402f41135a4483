// Batch normalisation of [N, C, HW] (as vec4 where HW % 4 = 0) in one launch, for adapters that are processors, where launches and loads are
// dear. $(LANES) invocations a channel: one alone with short channels, else a subgroup, which is a workgroup. $(SPAN) of them side by side walk an
// image's positions, $(LANES/SPAN) images at a time; in train mode a first walk makes the sums, the second the results.
//
//   FORWARD:   y = [relu](x·scale + shift)
//     TRAIN:     k = x[0, c, 0], a shift that keeps the variance from cancelling;  d = Σ(x - k)/M,  mean = k + d,
//                var = Σ(x - k)²/M - d²,  invstd = 1/√(var + eps),  scale = γ·invstd,  shift = β - mean·scale;
//                stats [4, C] = mean, invstd, scale, shift;  running statistics (UPDATE) as in norm_apply
//   BACKWARD:  y = scale·(g' - b - x̂·a) [+ before],  x̂ = (x - mean)·invstd,  g' = g where the forward output passed the ReLU (RELU), else g;
//              before (ADD): another gradient by x, of its size
//     TRAIN:     sums [2, C] = Σ g', Σ g'·x̂;  b = Σ g'/M,  a = Σ g'·x̂/M (the sums alone without APPLY);  in eval mode a = b = 0
//% if LANES > 1
enable subgroups;
//% end
struct Params { n: u32, c: u32, hw: u32, count: u32, eps: f32, momentum: f32 }
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
@group(0) @binding(3) var<storage, read> gamma: array<f32>;
@group(0) @binding(4) var<storage, read> beta: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<T>;
//% if UPDATE
@group(0) @binding(6) var<storage, read_write> running: array<f32>;
@group(0) @binding(7) var<storage, read_write> running_var: array<f32>;
//% end
//% else
@group(0) @binding(2) var<storage, read> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<T>;
//% end
//% else
@group(0) @binding(2) var<storage, read> stats: array<f32>;
@group(0) @binding(3) var<storage, read> g: array<T>;
//% if TRAIN
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
//% if APPLY
@group(0) @binding(5) var<storage, read_write> y: array<T>;
//% end
//% else
@group(0) @binding(4) var<storage, read_write> y: array<T>;
//% end
//% if ADD
@group(0) @binding($(5+TRAIN)) var<storage, read> before: array<T>;
//% end
//% end

//% if VEC
fn add(a: T) -> f32 { return dot(a, T(1.0)); }
fn first(a: T) -> f32 { return a.x; }
//% else
fn add(a: T) -> f32 { return a; }
fn first(a: T) -> f32 { return a; }
//% end

@compute @workgroup_size($(GROUP))
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
//% if LANES > 1
  let c = linear_group(group, groups);
  let lane = l;
//% else
  let c = linear_group(group, groups) * $(GROUP)u + l;
  let lane = 0u;
//% end
  if (c >= p.c) { return; }
  let m = f32(p.count);
  let start = lane / $(SPAN)u;
  let column = lane % $(SPAN)u;
//% if FORWARD == 0 || TRAIN == 0
  let mean = stats[c];
  let invstd = stats[p.c + c];
  let scale = stats[2u * p.c + c];
  let shift = stats[3u * p.c + c];
//% end
//% if TRAIN
//% if FORWARD
  let k = first(x[c * p.hw]);
//% end
  var sums_all = vec2f();
  for (var n = start; n < p.n; n += $(LANES/SPAN)u) {
    let plane = (n * p.c + c) * p.hw;
    // an image at a time, so that a large batch loses no digits
    var sum = T();
    var products = T();
    for (var i = column; i < p.hw; i += $(SPAN)u) {
//% if FORWARD
      let d = x[plane + i] - T(k);
      sum += d;
      products += d * d;
//% else
      let v = x[plane + i];
//% if RELU
      let d = select(T(), g[plane + i], v * scale + T(shift) > T());
//% else
      let d = g[plane + i];
//% end
      sum += d;
      products += d * ((v - T(mean)) * invstd);
//% end
    }
    sums_all += vec2f(add(sum), add(products));
  }
//% if LANES > 1
  sums_all = subgroupAdd(sums_all);
//% end
//% if FORWARD
  let d = sums_all.x / m;
  let mean = k + d;
  let variance = max(sums_all.y / m - d * d, 0.0);
  let invstd = 1.0 / sqrt(variance + p.eps);
  let scale = gamma[c] * invstd;
  let shift = beta[c] - mean * scale;
  if (lane == 0u) {
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
  if (lane == 0u) {
    sums[c] = sums_all.x;
    sums[p.c + c] = sums_all.y;
  }
  let b = sums_all.x / m;
  let a = sums_all.y / m;
//% end
//% end
//% if APPLY
  for (var n = start; n < p.n; n += $(LANES/SPAN)u) {
    let plane = (n * p.c + c) * p.hw;
    for (var i = column; i < p.hw; i += $(SPAN)u) {
      let v = x[plane + i];
//% if FORWARD
//% if RELU
      y[plane + i] = max(v * scale + T(shift), T());
//% else
      y[plane + i] = v * scale + T(shift);
//% end
//% else
//% if RELU
      let d = select(T(), g[plane + i], v * scale + T(shift) > T());
//% else
      let d = g[plane + i];
//% end
//% if TRAIN
      let gx = (d - T(b) - (v - T(mean)) * invstd * a) * scale;
//% else
      let gx = d * scale;
//% end
//% if ADD
      y[plane + i] = gx + before[plane + i];
//% else
      y[plane + i] = gx;
//% end
//% end
    }
  }
//% end
}
