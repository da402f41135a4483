// Convolution of sparse weights, for GPUs: forward of any conv2d, and each phase of its input gradient.
//
//   y[n, co, YS·i + ya, YS·j + yb] = Σ over entries (k, w) of co's row  w[co] · x[n, k at (i, j)],   k = (ci, th, tw),
//   x[n, k at (i, j)] = x[n, ci, S·i + r0 + rd·th, S·j + c0 + cd·tw], 0 outside
//
// x [N, CI, H, W], y [N, CO, YH, YW]; of slices of the input channels one after another [SLICES, N, CO, YH, YW].
// The weights (conv_sparse_pack.wgsl) are lists, one for four output channels and $(CK) input channels: each entry says where in the stage its
// pixels begin, and the weights of the four channels, of which one at least is not 0. $(U) entries make a block, which is their places and then their weights.
//
// A workgroup: $(TR) x $(TC) positions of $(4*NV*NG) images by $(4*G*WY) output channels. The pixels of $(CK) input channels are staged in workgroup
// memory, those of four images side by side, so that the pixels of any tap are one aligned load; and the next ones are loaded while these
// are worked on. An invocation: one position of $(4*NV) images by $(4*G) channels. Loads from workgroup memory bound it, so that each serves
// four channels; and it waits for no list, for the block of entries that comes next is loaded while the one before is worked on.
struct Params {
  n: u32, ci: u32, h: u32, w: u32,
  co: u32, oh: u32, ow: u32, yh: u32,
  yw: u32, ys: u32, ya: u32, yb: u32,
  r0: i32, c0: i32, groups: u32, tiles: u32,
  across: u32, down: u32, chunks: u32, slice: u32,
  size: u32, counts: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> lists: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// [CK, NV, NG, ROWS, COLS] of four images
var<workgroup> stage: array<vec4f, $(CK*NV*NG*ROWS*COLS)>;

@compute @workgroup_size($(TC*NG*TR), $(WY))
fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(local_invocation_id) l: vec3u, @builtin(local_invocation_index) t: u32,
) {
  let ci_count = p.ci / p.groups;
  let plane = p.h * p.w;
  let tile_row = id.x / p.across % p.down * $(TR)u;
  let tile_col = id.x % p.across * $(TC)u;
  let first_n = id.x / (p.across * p.down) * $(4*NV*NG)u;
  // tiles of four output channels; one past the last of its group is computed like the last, and not stored
  let rows_of_tiles = (p.tiles + $(G*WY-1)u) / $(G*WY)u;
  let group = id.y / rows_of_tiles;
  let own_tile = id.y % rows_of_tiles * $(G*WY)u + l.y * $(G)u;
  let tile = group * p.tiles + min(own_tile, p.tiles - $(G)u);
  let begin = id.z * p.slice;
  let end = min(begin + p.slice, p.chunks);

  // what this invocation stages: vec4s of the stage, each with its channel, four images and one place, or nothing
//% for k in 0..LOADS
  var place$(k) = 0xffffffffu;
  let image$(k) = first_n + ((t + $(k*TC*NG*TR*WY)u) / $(ROWS*COLS)u % $(NV*NG)u) * 4u;
  {
    let e = t + $(k*TC*NG*TR*WY)u;
    let row = i32(tile_row * $(S)u + e / $(COLS)u % $(ROWS)u) + p.r0;
    let col = i32(tile_col * $(S)u + e % $(COLS)u) + p.c0;
    if (e < $(CK*NV*NG*ROWS*COLS)u && u32(row) < p.h && u32(col) < p.w) {
      place$(k) = (group * ci_count + e / $(NV*NG*ROWS*COLS)u) * plane + u32(row) * p.w + u32(col);
    }
  }
  var next$(k) = vec4f();
//% end

  let own_col = l.x % $(TC)u;
  let own_n = l.x / $(TC)u % $(NG)u;
  let own_row = l.x / $(TC*NG)u;
  let at = own_n * $(ROWS*COLS)u + own_row * $(S*COLS)u + own_col * $(S)u;
//% for g in 0..G
//% for v in 0..NV
//% for r in 0..4
  var sum$(g)_$(v)_$(r) = vec4f();
//% end
//% end
//% end

  // the next block of entries
  let first_list = tile * p.chunks + begin;
  var entry = first_list * $((CK*TAPS+U-1)/U*(U+1))u;
  var count = bitcast<u32>(lists[p.counts + first_list / 4u][first_list % 4u]);
  var next_places = bitcast<vec4u>(lists[entry]);
//% for u in 0..U
  var next_w$(u) = lists[entry + $(u+1)u];
//% end

  for (var chunk = begin; chunk <= end; chunk++) {
    // stage what was loaded in the last turn
    if (chunk > begin) {
//% for k in 0..LOADS
//% if (k+1)*TC*NG*TR*WY > CK*NV*NG*ROWS*COLS
      if (t + $(k*TC*NG*TR*WY)u < $(CK*NV*NG*ROWS*COLS)u) { stage[t + $(k*TC*NG*TR*WY)u] = next$(k); }
//% else
      stage[t + $(k*TC*NG*TR*WY)u] = next$(k);
//% end
//% end
    }
    workgroupBarrier();
    if (chunk < end) {
      let skipped = chunk * $(CK)u * plane;
//% for k in 0..LOADS
      next$(k) = vec4f();
      if (place$(k) != 0xffffffffu && chunk * $(CK)u + (t + $(k*TC*NG*TR*WY)u) / $(NV*NG*ROWS*COLS)u < ci_count) {
//% for c in 0..4
        next$(k)[$(c)] = x[min(image$(k) + $(c)u, p.n - 1u) * p.ci * plane + place$(k) + skipped];
//% end
      }
//% end
    }
    if (chunk > begin) {
//% for g in 0..G
      {
        // the list that follows: of the next four channels, or of the next turn
//% if g+1 < G
        let following = (tile + $(g+1)u) * p.chunks + chunk - 1u;
//% else
        let following = tile * p.chunks + min(chunk, p.chunks - 1u);
//% end
        let next_count = bitcast<u32>(lists[p.counts + following / 4u][following % 4u]);
        for (var i = 1u; i <= count; i++) {
          let places = next_places;
//% for u in 0..U
          let w$(u) = next_w$(u);
//% for v in 0..NV
          let x$(u)_$(v) = stage[at + places[$(u)] + $(v*NG*ROWS*COLS)u];
//% end
//% end
          entry = select(entry + $(U+1)u, following * $((CK*TAPS+U-1)/U*(U+1))u, i == count);
          next_places = bitcast<vec4u>(lists[entry]);
//% for u in 0..U
          next_w$(u) = lists[entry + $(u+1)u];
//% end
//% for u in 0..U
//% for v in 0..NV
//% for r in 0..4
          sum$(g)_$(v)_$(r) = fma(vec4f(w$(u)[$(r)]), x$(u)_$(v), sum$(g)_$(v)_$(r));
//% end
//% end
//% end
        }
        count = next_count;
      }
//% end
    }
    workgroupBarrier();
  }

  let co_count = p.co / p.groups;
  let row = tile_row + own_row;
  let col = tile_col + own_col;
  if (row >= p.oh || col >= p.ow || own_tile >= p.tiles) { return; }
  let out = id.z * p.size + (row * p.ys + p.ya) * p.yw + col * p.ys + p.yb;
//% for g in 0..G
//% for r in 0..4
  {
    let co = (tile + $(g)u) % p.tiles * 4u + $(r)u;
    if (co < co_count) {
//% for v in 0..NV
//% for c in 0..4
      {
        let n = first_n + ($(v*NG)u + own_n) * 4u + $(c)u;
        if (n < p.n) { y[out + (n * p.co + group * co_count + co) * p.yh * p.yw] = sum$(g)_$(v)_$(r)[$(c)]; }
      }
//% end
//% end
    }
  }
//% end
//% end
}
