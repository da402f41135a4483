// Row-wise operations on logits z [N, K], one invocation a row (K is a number of classes).
//
//   logsoftmax: y = z - m - log Σ exp(z - m),  m = max z          softmax: y = exp(z - m) / Σ exp(z - m)
//   logsoftmaxBackward: y = g - softmax·Σ g, given b = logsoftmax
//   cross entropy (SMOOTH s): y[n] = -(1-s)·logp[label] - s/K·Σ logp          argmax: y[n] = the first largest
//   cross entropy backward:   y = (p - (1-s)·onehot - s/K)·g[n]
//   topk: the K2 largest in falling order, ties by lowest index: values y, indices at
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

fn row_max(base: u32) -> f32 {
  var m = z[base];
  for (var i = 1u; i < p.k; i++) { m = max(m, z[base + i]); }
  return m;
}

fn row_sum_exp(base: u32, m: f32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < p.k; i++) { sum += exp(z[base + i] - m); }
  return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let n = linear_index(gid, groups, 64u);
  if (n >= p.n) { return; }
  let base = n * p.k;
//% if OP == 0
  let m = row_max(base);
  let log_sum = m + log(row_sum_exp(base, m));
  for (var i = 0u; i < p.k; i++) { y[base + i] = z[base + i] - log_sum; }
//% end
//% if OP == 1
  let m = row_max(base);
  let sum = row_sum_exp(base, m);
  for (var i = 0u; i < p.k; i++) { y[base + i] = exp(z[base + i] - m) / sum; }
//% end
//% if OP == 2
  var total = 0.0;
  for (var i = 0u; i < p.k; i++) { total += z[base + i]; }
  for (var i = 0u; i < p.k; i++) { y[base + i] = z[base + i] - exp(logp[base + i]) * total; }
//% end
//% if OP == 3
  let m = row_max(base);
  let log_sum = m + log(row_sum_exp(base, m));
  var total = 0.0;
  for (var i = 0u; i < p.k; i++) { total += z[base + i]; }
  let own = z[base + u32(labels[n])] - log_sum;
  let mean = total / f32(p.k) - log_sum;
  y[n] = -(1.0 - p.smoothing) * own - p.smoothing * mean;
//% end
//% if OP == 4
  let m = row_max(base);
  let sum = row_sum_exp(base, m);
  for (var i = 0u; i < p.k; i++) {
    let wanted = select(0.0, 1.0 - p.smoothing, i32(i) == labels[n]) + p.smoothing / f32(p.k);
    y[base + i] = (exp(z[base + i] - m) / sum - wanted) * g[n];
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
