// Weights in the order in which a convolution kernel reads them: tiles of output channels, innermost the channels of a tile.
//
//   packed[g, tile, (ci, th, tw) or (th, tw, ci), c] = w[g·sg + co·sco + ci·sci + (kh0 + khs·th)·KW + (kw0 + kws·tw)],  co = tile·CT + c; 0 past CO
//
// One invocation an element of packed [G, TILES, CI, TH, TW, CT], or [G, TILES, TH, TW, CI, CT].
//% if HALF
// Rounded to f16.
enable f16;
alias T = f16;
//% else
alias T = f32;
//% end
struct Params {
  total: u32, ci: u32, th: u32, tw: u32,
  ct: u32, tiles: u32, co: u32, sg: u32,
  sco: u32, sci: u32, kw: u32, kh0: u32,
  khs: u32, kw0: u32, kws: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<T>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.total) { return; }
  var rest = i / p.ct;
//% if OUTER
  let ci = rest % p.ci;
  rest /= p.ci;
//% end
  let tw = rest % p.tw;
  rest /= p.tw;
  let th = rest % p.th;
  rest /= p.th;
//% if OUTER
//% else
  let ci = rest % p.ci;
  rest /= p.ci;
//% end
  let co = (rest % p.tiles) * p.ct + i % p.ct;
  let g = rest / p.tiles;
  var value = 0.0;
  if (co < p.co) {
    value = w[g * p.sg + co * p.sco + ci * p.sci + (p.kh0 + p.khs * th) * p.kw + p.kw0 + p.kws * tw];
  }
  packed[i] = T(value);
}
