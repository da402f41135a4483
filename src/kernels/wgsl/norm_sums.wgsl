// Two sums for each channel of [N, C, HW], in slices of the images:
//
//   STAGE stats:      Σ (x - k_c), Σ (x - k_c)²              k_c = x[0, c, 0], a shift that keeps the variance from cancelling
//   STAGE gradients:  Σ g', Σ g'·x̂    x̂ = (x - mean_c)·invstd_c,  g' = g where the output passed the ReLU (RELU), else g
//
// x, g [N, C, HW] (as vec4 where HW % 4 = 0), part [SLICES, 2, C]. One workgroup a (channel, slice): $(SPAN) invocations side by side walk an
// image's positions, $(GROUP/SPAN) images at a time, and a fixed tree joins the sums.
struct Params { n: u32, c: u32, hw: u32, slices: u32, rows: u32 }
//% if VEC
alias T = vec4f;
//% else
alias T = f32;
//% end
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
//% if GRADIENTS
@group(0) @binding(2) var<storage, read> g: array<T>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;  // [4, C]: mean, invstd, scale, shift
@group(0) @binding(4) var<storage, read_write> part: array<f32>;
//% else
@group(0) @binding(2) var<storage, read_write> part: array<f32>;
//% end

var<workgroup> sums: array<vec2f, $(GROUP)>;

@compute @workgroup_size($(GROUP))
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let o = linear_group(group, groups);
  let c = o % p.c;
  let slice = min(o / p.c, p.slices - 1u);
  let first = slice * p.rows;
  let last = min(first + p.rows, p.n);
//% if GRADIENTS
  let mean = stats[c];
  let invstd = stats[p.c + c];
  let scale = stats[2u * p.c + c];
  let shift = stats[3u * p.c + c];
//% else
//% if VEC
  let k = x[c * p.hw].x;
//% else
  let k = x[c * p.hw];
//% end
//% end
  var sum = T();
  var products = T();
  for (var n = first + l / $(SPAN)u; n < last; n += $(GROUP/SPAN)u) {
    let plane = (n * p.c + c) * p.hw;
    for (var i = l % $(SPAN)u; i < p.hw; i += $(SPAN)u) {
      let v = x[plane + i];
//% if GRADIENTS
      var d = g[plane + i];
//% if RELU
      d = select(T(), d, v * scale + T(shift) > T());
//% end
      sum += d;
      products += d * ((v - T(mean)) * invstd);
//% else
      let d = v - T(k);
      sum += d;
      products += d * d;
//% end
    }
  }
//% if VEC
  sums[l] = vec2f(dot(sum, T(1.0)), dot(products, T(1.0)));
//% else
  sums[l] = vec2f(sum, products);
//% end
  for (var half = $(GROUP/2)u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (l < half) { sums[l] += sums[l + half]; }
  }
  if (l == 0u) {
    part[(slice * 2u) * p.c + c] = sums[0].x;
    part[(slice * 2u + 1u) * p.c + c] = sums[0].y;
  }
}
