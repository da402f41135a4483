// Weights of which many are 0, for conv_taps.wgsl with LISTS: of each tile of $(CT) output channels, those rows of three taps that are not all 0.
//
// lists [G, TILES, CI, TH, $(CT)] of vec4, in which the rows of a tile stand in rising order of their channels, $(GROUP) to a group: the taps
// as xyz, and in w of a group's first which channels its rows are of, a bit each, of its second whether another group follows. What is after the
// last group is not written. w as conv_pack.wgsl reads it.
//
// One invocation all rows of an input channel for a tile.
struct Params {
  pairs: u32, ci: u32, th: u32, tiles: u32,
  co: u32, sg: u32, sco: u32, sci: u32,
  kw: u32, kh0: u32, khs: u32, kw0: u32,
  kws: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> lists: array<vec4u>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.pairs) { return; }
  let ci = i % p.ci;
  let tile = i / p.ci;
  let co0 = tile % p.tiles * $(CT)u;
  let first = tile / p.tiles * p.sg + co0 * p.sco + ci * p.sci;
  for (var th = 0u; th < p.th; th++) {
    let row = first + (p.kh0 + p.khs * th) * p.kw + p.kw0;
    var at = (i * p.th + th) * $(CT)u;
    var bits = 0u;
    var count = 0u;
    for (var c = 0u; c < min($(CT)u, p.co - co0); c++) {
      let at_c = row + c * p.sco;
      let taps = vec3f(w[at_c], w[at_c + p.kws], w[at_c + 2u * p.kws]);
      if (all(taps == vec3f())) { continue; }
      if (count == $(GROUP)u) {
        lists[at].w = bits;
        lists[at + 1u].w = 1u;
        at += $(GROUP)u;
        bits = 0u;
        count = 0u;
      }
      lists[at + count] = vec4u(bitcast<vec3u>(taps), 0u);
      bits |= 1u << c;
      count++;
    }
    lists[at].w = bits;
    lists[at + 1u].w = 0u;
  }
}
