// The lists of weights that conv_sparse.wgsl reads. One invocation makes one list: of four output and $(CK) input channels.
//
//   entry (place of (ci, th, tw) in the stage, w[co], w[co + 1], w[co + 2], w[co + 3])   where one of the four is not 0, in the order of (ci, th, tw)
//   w[co] = w[g·sg + co·sco + ci·sci + (kh0 + khs·th)·KW + kw0 + kws·tw]
//
// A list has room for all its weights in blocks of $(U) entries, the last of them filled up with weights of 0; behind all lists is the number of blocks
// of each, at least 1.
struct Params {
  total: u32, chunks: u32, tiles: u32, co: u32,
  ci: u32, sg: u32, sco: u32, sci: u32,
  kw: u32, kh0: u32, khs: u32, kw0: u32,
  kws: u32, step_c: u32, step_h: u32, step_w: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> lists: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let list = linear_index(gid, groups, 64u);
  if (list >= p.total) { return; }
  let tile = list / p.chunks;
  let co = tile % p.tiles * 4u;
  let first = list % p.chunks * $(CK)u;
  let base = tile / p.tiles * p.sg + co * p.sco + p.kh0 * p.kw + p.kw0;
  let start = list * $((CK*TH*TW+U-1)/U*(U+1)*4)u;
  var found = 0u;
  for (var k = 0u; k < $(CK*TH*TW)u || found == 0u || found % $(U)u != 0u; k++) {
    let c = k / $(TH*TW)u;
    let th = k / $(TW)u % $(TH)u;
    let tw = k % $(TW)u;
    let ci = first + c;
    let at = base + ci * p.sci + p.khs * th * p.kw + p.kws * tw;
    var values = vec4f();
    if (k < $(CK*TH*TW)u && ci < p.ci) {
//% for r in 0..4
      if (co + $(r)u < p.co) { values[$(r)] = w[at + $(r)u * p.sco]; }
//% end
    }
    if (any(values != vec4f()) || k >= $(CK*TH*TW)u) {
      let block = start + found / $(U)u * $((U+1)*4)u;
      lists[block + found % $(U)u] = select(0u, c * p.step_c + th * p.step_h + tw * p.step_w, k < $(CK*TH*TW)u);
//% for r in 0..4
      lists[block + (found % $(U)u + 1u) * 4u + $(r)u] = bitcast<u32>(values[$(r)]);
//% end
      found++;
    }
  }
  lists[p.total * $((CK*TH*TW+U-1)/U*(U+1)*4)u + list] = found / $(U)u;
}
