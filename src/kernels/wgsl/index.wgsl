// Reading and writing by index, over arrays seen as [outer, count, inner]. An index outside the range reads 0 and writes nothing.
//
//   GATHER (0):       y[o, j, i] = x[o, at[o, j, i], i]        x [outer, total, inner]
//   SCATTER_ADD (1):  y[o, t, i] = Σ_j x[o, j, i]·[at[o, j, i] = t]   in the order of j
//   ONE_HOT (2):      y[o, t] = [at[o] = t]
//   ROWS (3):         y[j, i] = x[at[j], i]                    x [total, inner]: one index a row
//   ROWS_ADD (4):     y[t, i] = Σ_j x[j, i]·[at[j] = t]         in the order of j
//
// One invocation an element of y: sums need no atomics and have a fixed order. What is only moved (GATHER, ROWS) is moved as bits, of any type.
struct Params { size: u32, count: u32, inner: u32, total: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> at: array<i32>;
//% if OP == 0 || OP == 3
alias T = u32;
//% else
alias T = f32;
//% end
//% if OP == 2
@group(0) @binding(2) var<storage, read_write> y: array<T>;
//% else
@group(0) @binding(2) var<storage, read> x: array<T>;
@group(0) @binding(3) var<storage, read_write> y: array<T>;
//% end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let n = linear_index(gid, groups, 64u);
  if (n >= p.size) { return; }
//% if OP == 0
  let i = n % p.inner;
  let o = n / (p.inner * p.count);
  let t = at[n];
  let inside = t >= 0 && t < i32(p.total);
  y[n] = select(0u, x[select(0u, (o * p.total + u32(t)) * p.inner + i, inside)], inside);
//% end
//% if OP == 1
  let i = n % p.inner;
  let t = (n / p.inner) % p.total;
  let o = n / (p.inner * p.total);
  var sum = 0.0;
  for (var j = 0u; j < p.count; j++) {
    let source = (o * p.count + j) * p.inner + i;
    if (at[source] == i32(t)) { sum += x[source]; }
  }
  y[n] = sum;
//% end
//% if OP == 2
  y[n] = select(0.0, 1.0, at[n / p.total] == i32(n % p.total));
//% end
//% if OP == 3
  let i = n % p.inner;
  let t = at[n / p.inner];
  let inside = t >= 0 && t < i32(p.total);
  y[n] = select(0u, x[select(0u, u32(t) * p.inner + i, inside)], inside);
//% end
//% if OP == 4
  let i = n % p.inner;
  let t = n / p.inner;
  var sum = 0.0;
  for (var j = 0u; j < p.count; j++) {
    if (at[j] == i32(t)) { sum += x[j * p.inner + i]; }
  }
  y[n] = sum;
//% end
}
