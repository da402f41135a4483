// c[b, i, j] = Σ_k a[b, i, k] · b[b, k, j], operands with any strides (so transposed and broadcast ones are read in place).
//
// a [B, M, K], b [B, K, N], c [B, M, N]. One invocation: a tile of $(TM) x $(TN) outputs; a workgroup has 8 x 8 of them. Workgroups
// go along columns, then rows, then the batch.
struct Params {
  m: u32, n: u32, k: u32, batch: u32,
  ab: u32, am: u32, ak: u32,
  bb: u32, bk: u32, bn: u32,
  groups_n: u32, groups_m: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_id) l: vec3u) {
  let g = linear_group(group, groups);
  let j0 = ((g % p.groups_n) * 8u + l.x) * $(TN)u;
  let i0 = (((g / p.groups_n) % p.groups_m) * 8u + l.y) * $(TM)u;
  let z = g / (p.groups_n * p.groups_m);
  if (i0 >= p.m || j0 >= p.n || z >= p.batch) { return; }
//% for i in 0..TM
  var a$(i) = z * p.ab + min(i0 + $(i)u, p.m - 1u) * p.am;
//% end
//% for j in 0..TN
  var b$(j) = z * p.bb + min(j0 + $(j)u, p.n - 1u) * p.bn;
//% end
//% for i in 0..TM
//% for j in 0..TN
  var c$(i)_$(j) = 0.0;
//% end
//% end
  for (var k = 0u; k < p.k; k++) {
//% for i in 0..TM
    let u$(i) = a[a$(i)];
    a$(i) += p.ak;
//% end
//% for j in 0..TN
    let v$(j) = b[b$(j)];
    b$(j) += p.bk;
//% end
//% for i in 0..TM
//% for j in 0..TN
    c$(i)_$(j) += u$(i) * v$(j);
//% end
//% end
  }
  let out = z * p.m * p.n;
//% for i in 0..TM
//% for j in 0..TN
  if ((i0 + $(i)u < p.m) & (j0 + $(j)u < p.n)) { c[out + (i0 + $(i)u) * p.n + j0 + $(j)u] = c$(i)_$(j); }
//% end
//% end
}
