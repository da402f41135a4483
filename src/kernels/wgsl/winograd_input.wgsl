// The pixels of Winograd's convolution F($(M)x$(M), 3x3): every tile of $(A)x$(A), which overlap by two, becomes as many numbers.
//
//   v[i, j, ci, t] = (Bᵀ·d·B)[i, j],   d = x[n, ci, $(M)·th + r0 ..., $(M)·tw + c0 ...], 0 outside,   t = (n, th, tw)
//
// x [N, CI, H, W], v [$(A), $(A), CI, T]. One invocation one tile of a channel; neighbouring invocations take neighbouring tiles.
struct Params { tiles: u32, tiles_h: u32, tiles_w: u32, ci: u32, h: u32, w: u32, r0: i32, c0: i32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;

fn pixel(plane: u32, row: i32, col: i32) -> f32 {
  let inside = (u32(row) < p.h) & (u32(col) < p.w);
  return select(0.0, x[select(0u, plane + u32(row) * p.w + u32(col), inside)], inside);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.tiles * p.ci) { return; }
  let t = i % p.tiles;
  let ci = i / p.tiles;
  let plane = (t / (p.tiles_h * p.tiles_w) * p.ci + ci) * p.h * p.w;
  let row = i32(t / p.tiles_w % p.tiles_h * $(M)u) + p.r0;
  let col = i32(t % p.tiles_w * $(M)u) + p.c0;

//% for k in 0..A
//% for l in 0..A
  let d$(k)_$(l) = pixel(plane, row + $(k), col + $(l));
//% end
//% end
//% for i in 0..A
//% for l in 0..A
  let e$(i)_$(l) = $(B[i*A+B0[i]]) * d$(B0[i])_$(l)
//% for k in 0..A
//% if k > B0[i] && B[i*A+k] != 0
    + $(B[i*A+k]) * d$(k)_$(l)
//% end
//% end
  ;
//% end
//% end
//% for i in 0..A
//% for j in 0..A
  v[($(i*A+j)u * p.ci + ci) * p.tiles + t] = $(B[j*A+B0[j]]) * e$(i)_$(B0[j])
//% for l in 0..A
//% if l > B0[j] && B[j*A+l] != 0
    + $(B[j*A+l]) * e$(i)_$(l)
//% end
//% end
  ;
//% end
//% end
}
