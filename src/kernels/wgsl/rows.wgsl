// Row-wise operations on logits z [N, K], one invocation a row (K is a number of classes).
//
//   logsoftmax: y = (z - m) - log Σ exp(z - m),  m = max z        softmax: y = exp(z - m) / Σ exp(z - m)
//   logsoftmaxBackward: y = g - softmax·Σ g, given b = logsoftmax
//   cross entropy (SMOOTH s): y[n] = -(1-s)·logp[label] - s/K·Σ logp          argmax: y[n] = the first largest
//   cross entropy backward:   y = (p - (1-s)·onehot - s/K)·g[n]               both NaN where the label is none of the K classes
//   topk: the K2 largest in falling order, ties by lowest index: values y, indices at
//
// Σ exp(z - m) is 1 + r, the first largest logit's term and the others'. Where a network is sure of itself r is small and yet all of its loss and
// gradient, so it is kept apart: neither log(1 + r) nor, for a label that is the largest, p - 1 = -r/(1 + r) is taken of the rounded sum; and m is
// subtracted before the logarithm, which would vanish beside a large m.
struct Params { n: u32, k: u32, k2: u32, smoothing: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> z: array<f32>;
//% if OP == 2
@group(0) @binding(2) var<storage, read> logp: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
//% end
//% if OP == 0 || OP == 1
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
//% end
//% if OP == 3
@group(0) @binding(2) var<storage, read> labels: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
//% end
//% if OP == 4
@group(0) @binding(2) var<storage, read> labels: array<i32>;
@group(0) @binding(3) var<storage, read> g: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
//% end
//% if OP == 5
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> at: array<i32>;
//% end

// The first largest.
fn row_top(base: u32) -> u32 {
  var top = 0u;
  for (var i = 1u; i < p.k; i++) { if (z[base + i] > z[base + top]) { top = i; } }
  return top;
}

// r
fn row_rest(base: u32, top: u32) -> f32 {
  let m = z[base + top];
  var rest = 0.0;
  for (var i = 0u; i < p.k; i++) { if (i != top) { rest += exp(z[base + i] - m); } }
  return rest;
}

// log(1 + r), small r by the series: WGSL allows log an absolute error of 2^-21 near 1
fn log_1p(r: f32) -> f32 {
  return select(log(1.0 + r), r * (1.0 - r * (0.5 - r * (1.0 / 3.0 - r * 0.25))), r < 0.015625);
}

//% if OP == 3 || OP == 4
// A NaN. WGSL refuses one that it can see before the launch: n, a row's index, keeps it from that.
fn not_a_number(n: u32) -> f32 { return bitcast<f32>(0x7fc00000u | (n & 1u)); }

//% end
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let n = linear_index(gid, groups, 64u);
  if (n >= p.n) { return; }
  let base = n * p.k;
//% if OP == 0
  let top = row_top(base);
  let m = z[base + top];
  let log_sum = log_1p(row_rest(base, top));
  for (var i = 0u; i < p.k; i++) { y[base + i] = (z[base + i] - m) - log_sum; }
//% end
//% if OP == 1
  let top = row_top(base);
  let m = z[base + top];
  let sum = 1.0 + row_rest(base, top);
  for (var i = 0u; i < p.k; i++) { y[base + i] = exp(z[base + i] - m) / sum; }
//% end
//% if OP == 2
  var total = 0.0;
  for (var i = 0u; i < p.k; i++) { total += z[base + i]; }
  for (var i = 0u; i < p.k; i++) { y[base + i] = z[base + i] - exp(logp[base + i]) * total; }
//% end
//% if OP == 3
  let label = u32(labels[n]);
  if (label >= p.k) {
    y[n] = not_a_number(n);
    return;
  }
  let top = row_top(base);
  let m = z[base + top];
  let log_sum = log_1p(row_rest(base, top));
  let own = log_sum - (z[base + label] - m);
  var mean = 0.0;
  if (p.smoothing != 0.0) { // else a logit of -inf would make it 0·inf
    for (var i = 0u; i < p.k; i++) { mean += z[base + i] - m; }
    mean = log_sum - mean / f32(p.k);
  }
  y[n] = (1.0 - p.smoothing) * own + p.smoothing * mean;
//% end
//% if OP == 4
  let label = u32(labels[n]);
  if (label >= p.k) {
    for (var i = 0u; i < p.k; i++) { y[base + i] = not_a_number(n); }
    return;
  }
  let top = row_top(base);
  let m = z[base + top];
  let rest = row_rest(base, top);
  let sum = 1.0 + rest;
  for (var i = 0u; i < p.k; i++) {
    var d = exp(z[base + i] - m) / sum;
    if (i == label) { d = select(d - 1.0, -rest / sum, i == top) + p.smoothing; }
    y[base + i] = (d - p.smoothing / f32(p.k)) * g[n];
  }
//% end
//% if OP == 5
  for (var j = 0u; j < p.k2; j++) {
    var best = -3.4028234663852886e38;
    var found = -1;
    for (var i = 0u; i < p.k; i++) {
      let v = z[base + i];
      // not taken before: those were larger, or equal with a lower index
      let later = j == 0u || v < y[n * p.k2 + j - 1u] || (v == y[n * p.k2 + j - 1u] && i32(i) > at[n * p.k2 + j - 1u]);
      if (later && (found < 0 || v > best)) { best = v; found = i32(i); }
    }
    y[n * p.k2 + j] = best;
    at[n * p.k2 + j] = found;
  }
//% end
}
