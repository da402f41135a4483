// The outputs of Winograd's convolution F($(M)x$(M), 3x3): $(A)x$(A) products become $(M)x$(M) positions.
//
//   y[n, co, $(M)·th + i, $(M)·tw + j] = (Aᵀ·s·A)[i, j],   s = m[:, :, co, t],   t = (n, th, tw)
//
// m [$(A), $(A), CO, T], y [N, CO, OH, OW]. One invocation one tile of a channel.
struct Params { tiles: u32, tiles_h: u32, tiles_w: u32, co: u32, oh: u32, ow: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> m: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.tiles * p.co) { return; }
  let t = i % p.tiles;
  let co = i / p.tiles;
  let row = t / p.tiles_w % p.tiles_h * $(M)u;
  let col = t % p.tiles_w * $(M)u;
  let at = ((t / (p.tiles_h * p.tiles_w) * p.co + co) * p.oh + row) * p.ow + col;

//% for k in 0..A
//% for l in 0..A
  let s$(k)_$(l) = m[($(k*A+l)u * p.co + co) * p.tiles + t];
//% end
//% end
//% for i in 0..M
//% for l in 0..A
  let e$(i)_$(l) = $(AT[i*A+AT0[i]]) * s$(AT0[i])_$(l)
//% for k in 0..A
//% if k > AT0[i] && AT[i*A+k] != 0
    + $(AT[i*A+k]) * s$(k)_$(l)
//% end
//% end
  ;
//% end
//% end
//% for i in 0..M
  if (row + $(i)u < p.oh) {
//% for j in 0..M
    if (col + $(j)u < p.ow) {
      y[at + $(i)u * p.ow + $(j)u] = $(AT[j*A+AT0[j]]) * e$(i)_$(AT0[j])
//% for l in 0..A
//% if l > AT0[j] && AT[j*A+l] != 0
        + $(AT[j*A+l]) * e$(i)_$(l)
//% end
//% end
      ;
    }
//% end
  }
//% end
}
