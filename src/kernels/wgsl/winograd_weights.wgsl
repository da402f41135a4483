// The weights of Winograd's convolution F($(M)x$(M), 3x3): every 3x3 becomes $(A)x$(A).
//
//   u[i, j, co, ci] = (G·w·Gᵀ)[i, j],   w[th, tw] = w[co·sco + ci·sci + (kh0 + khs·th)·3 + (kw0 + kws·tw)]
//
// u [$(A), $(A), CO, CI]. One invocation one pair of channels; the strides exchange channels, and the taps go backwards, for an input gradient.
struct Params { co: u32, ci: u32, sco: u32, sci: u32, kh0: i32, khs: i32, kw0: i32, kws: i32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> u: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let pair = linear_index(gid, groups, 64u);
  if (pair >= p.co * p.ci) { return; }
  let first = i32(pair / p.ci * p.sco + pair % p.ci * p.sci);

//% for k in 0..3
//% for l in 0..3
  let w$(k)_$(l) = w[first + (p.kh0 + p.khs * $(k)) * 3 + p.kw0 + p.kws * $(l)];
//% end
//% end
//% for i in 0..A
//% for l in 0..3
  let e$(i)_$(l) = $(G[3*i]) * w0_$(l) + $(G[3*i+1]) * w1_$(l) + $(G[3*i+2]) * w2_$(l);
//% end
//% end
//% for i in 0..A
//% for j in 0..A
  u[$(i*A+j)u * p.co * p.ci + pair] = $(G[3*j]) * e$(i)_0 + $(G[3*j+1]) * e$(i)_1 + $(G[3*j+2]) * e$(i)_2;
//% end
//% end
}
