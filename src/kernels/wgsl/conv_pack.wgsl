// Weights in the order in which a convolution kernel reads them: tiles of output channels, innermost the channels of a tile.
//
//   packed[g, tile, (ci, th, j) or (th, j, ci), c, k] = w[g·sg + co·sco + ci·sci + (kh0 + khs·th)·KW + (kw0 + kws·tw)],
//   co = tile·CT + c, tw = $(P)·j + k; 0 past CO and TW
//
// One invocation all taps of an input and an output channel, of packed [G, TILES, CI, TH, J, CT, $(P)] or [G, TILES, TH, J, CI, CT, $(P)]: its
// strides say which. Vectors of $(P) columns of taps are stored whole.
//% if HALF
// Rounded to f16.
enable f16;
alias T = f16;
//% else
alias T = f32;
//% end
struct Params {
  pairs: u32, ci: u32, th: u32, tw: u32,
  ct: u32, tiles: u32, co: u32, sg: u32,
  sco: u32, sci: u32, kw: u32, kh0: u32,
  khs: u32, kw0: u32, kws: u32, tile_size: u32,
  to_ci: u32, to_tap: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
//% if P == 1
@group(0) @binding(2) var<storage, read_write> packed: array<T>;
//% else
@group(0) @binding(2) var<storage, read_write> packed: array<vec$(P)<T>>;
//% end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.pairs) { return; }
  let c = i % p.ct;
  let ci = i / p.ct % p.ci;
  let tile = i / p.ct / p.ci;
  let co = (tile % p.tiles) * p.ct + c;
  let used = co < p.co;
  let first = tile / p.tiles * p.sg + co * p.sco + ci * p.sci;
  var at = tile * p.tile_size + ci * p.to_ci + c;
  for (var th = 0u; th < p.th; th++) {
    let row = first + (p.kh0 + p.khs * th) * p.kw + p.kw0;
    for (var tw = 0u; tw < p.tw; tw += $(P)u) {
//% for k in 0..P
      let in$(k) = used & (tw + $(k) < p.tw);
      let v$(k) = select(0.0, w[select(0u, row + p.kws * (tw + $(k)), in$(k))], in$(k));
//% end
//% if P == 1
      packed[at] = T(v0);
//% end
//% if P == 2
      packed[at] = vec2<T>(T(v0), T(v1));
//% end
//% if P == 4
      packed[at] = vec4<T>(T(v0), T(v1), T(v2), T(v3));
//% end
      at += p.to_tap;
    }
  }
}
