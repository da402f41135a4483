// Weights in the order in which conv_taps reads them: output channels innermost, padded to whole vec4, taps in the order of a pass.
//
//   packed[g, ci, th, tw, co] = w[g·sg + co·sco + ci·sci + (kh0 + khs·th)·KW + (kw0 + kws·tw)],  0 where co is padding
//
// One invocation an element of packed [G, CI, TH, TW, COP].
struct Params {
  total: u32, ci: u32, th: u32, tw: u32,
  cop: u32, co: u32, sg: u32, sco: u32,
  sci: u32, kw: u32, kh0: u32, khs: u32,
  kw0: u32, kws: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.total) { return; }
  let co = i % p.cop;
  let tw = (i / p.cop) % p.tw;
  let th = (i / (p.cop * p.tw)) % p.th;
  let ci = (i / (p.cop * p.tw * p.th)) % p.ci;
  let g = i / (p.cop * p.tw * p.th * p.ci);
  var value = 0.0;
  if (co < p.co) {
    value = w[g * p.sg + co * p.sco + ci * p.sci + (p.kh0 + p.khs * th) * p.kw + p.kw0 + p.kws * tw];
  }
  packed[i] = value;
}
