// Convolution as a sum over taps, for adapters that are processors: forward of any conv2d, and each phase of its input gradient.
//
//   y[n, co, YS·i + ya, YS·j + yb] = Σ_ci Σ_th Σ_tw  w[ci, th, tw, co] · x[n, ci, S·i + r0 + RD·th, S·j + COL[tw]]
//
// with x = 0 outside. x [N, CI, H, W], w packed [G, TILES, CI/G, TH, $(GROUPS), $(4*Q), $(P)] (zeros past CO/G and TW), y [N, CO, OH, OW].
//
// One invocation: $(4*Q) output channels x $(R) rows x $(4*V) columns in registers. Neighbouring invocations take neighbouring column
// tiles, then rows, then images; workgroup rows take the next output channels, and z goes on where x alone would pass 65 535. Loads of x
// are vec4: for each input row the aligned vec4s that cover all taps are loaded once, and shifted windows are picked from registers. Where a
// subgroup covers whole rows (EDGES), those of the neighbouring tiles come from the neighbours instead, and past the end of a row are 0; where
// it covers whole images (SHARE), so do the rows above and below a tile's own.
//% if CHANNELS > 1
// The kernel has one tap: $(CHANNELS) input channels are taken for the taps of a row.
//% end
//% if SKIP || LISTS
// For weights of which many are 0: a row of taps that are all 0 is skipped. The sums are the same to the bit, for what is left out adds 0.
//% end
//% if LISTS
// w are lists of the other rows, of conv_lists.wgsl: $(LANES) rows are one load of a subgroup, whose invocations hold one each.
//% end
//% if LANES
// A workgroup is one subgroup, and its invocations need the same weights: each loads every $(LANES)th vec4 of them and tells the others. On
// such adapters a load costs as much as twenty multiplications, a broadcast as much as one.
enable subgroups;
//% end
struct Params {
  n: u32, ci: u32, h: u32, w: u32,
  co: u32, oh: u32, ow: u32, yh: u32,
  yw: u32, ys: u32, ya: u32, yb: u32,
  r0: i32, rd: i32, th: u32, groups: u32,
  tiles_w: u32, tiles_h: u32, tiles_co: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
//% if VEC
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
//% else
@group(0) @binding(1) var<storage, read> x: array<f32>;
//% end
//% if LISTS
@group(0) @binding(2) var<storage, read> wt: array<vec4u>;
//% else
@group(0) @binding(2) var<storage, read> wt: array<vec4f>;
//% end
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Four columns of a row of x, zero outside. `plane` is the row 0 of the channel in elements. A negative index is a huge u32. `&` and not
// `&&`, which branches: software adapters take very long to compile many small blocks.
fn load(plane: u32, row: i32, col: i32) -> vec4f {
//% if VEC
  let inside = (u32(row) < p.h) & (u32(col) < p.w);
  return select(vec4f(), x[select(0u, (plane + u32(row) * p.w + u32(col)) >> 2u, inside)], inside);
//% else
  let row_in = u32(row) < p.h;
  let start = plane + u32(row) * p.w;
//% for k in 0..4
  let in$(k) = row_in & (u32(col + $(k)) < p.w);
  let v$(k) = select(0.0, x[select(0u, start + u32(col + $(k)), in$(k))], in$(k));
//% end
  return vec4f(v0, v1, v2, v3);
//% end
}

//% if LANES
@compute @workgroup_size($(LANES))
@diagnostic(off, subgroup_uniformity) // whether weights are 0 is the same for all of a subgroup
fn main(
  @builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_invocation_id) lane: u32,
) {
  let tile = id.x + id.z * groups.x * $(LANES)u;
//% else
@compute @workgroup_size($(WX), $(WY))
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let tile = id.x + id.z * groups.x * $(WX)u;
//% end
  let tile_w = tile % p.tiles_w;
  let tile_h = (tile / p.tiles_w) % p.tiles_h;
  let own_n = tile / (p.tiles_w * p.tiles_h);
  // a tile past the end is computed from the last image, for its subgroup needs it, and not stored
  let used = (own_n < p.n) & (id.y < p.tiles_co * p.groups);
//% if LANES
//% else
  if (!used) { return; }
//% end
  let n = min(own_n, p.n - 1u);
  let group = id.y / p.tiles_co;
  let tile_co = id.y % p.tiles_co;
  let ci_count = p.ci / p.groups;
  let first_row = i32(tile_h * $(R)u * $(S)u) + p.r0;
  let first_col = i32(tile_w * $(4*V*S)u);

//% for r in 0..R
//% for c in 0..4*Q
//% for v in 0..V
  var total$(r)_$(c)_$(v) = vec4f();
//% end
//% end
//% end

  // Sums of $(BLOCK) channels are added to the total, so that rounding hardly grows with the number of channels.
  var w_at = id.y * (ci_count / $(CHANNELS)u) * p.th * $(GROUPS*Q*P)u;
  for (var first = 0u; first < ci_count; first += $(BLOCK)u) {
//% for r in 0..R
//% for c in 0..4*Q
//% for v in 0..V
  var a$(r)_$(c)_$(v) = vec4f();
//% end
//% end
//% end
  for (var ci = first; ci < min(first + $(BLOCK)u, ci_count); ci += $(CHANNELS)u) {
    let plane = (n * p.ci + group * ci_count + ci) * p.h * p.w;
//% for part in 0..2
//% if part && KEEP < 2
    for (var th = 0u; th < p.th; th++) {
//% end
//% if part == (KEEP == 0)
//% for r in 0..ROWS
//% if KEEP
      let row$(r) = first_row + $(r);
//% else
      let row$(r) = first_row + $(r*S) + p.rd * i32(th);
//% end
//% if SHARE == 0 || (r >= OWN && r < OWN+R)
//% for m in 0..M1-M0+1
//% if IN[r] && (EDGES == 0 || (m+M0 >= 0 && m+M0 < S*V))
//% for c in 0..CHANNELS
      var x$(r)_$(m)_$(c) = load(plane + $(c)u * p.h * p.w, row$(r), first_col + $(4*(m+M0)));
//% end
//% end
//% end
//% end
//% end
//% if SHARE
//% for r in 0..ROWS
//% for m in 0..M1-M0+1
//% if EDGES == 0 || (m+M0 >= 0 && m+M0 < S*V)
//% if r < OWN
      var x$(r)_$(m)_0 = select(subgroupShuffleUp(x$(r+R)_$(m)_0, $(TILES_W)u), vec4f(), tile_h == 0u);
//% end
//% if r >= OWN+R
      var x$(r)_$(m)_0 = select(subgroupShuffleDown(x$(r-R)_$(m)_0, $(TILES_W)u), vec4f(), tile_h == p.tiles_h - 1u);
//% end
//% end
//% end
//% end
//% end
//% for r in 0..ROWS
//% for m in 0..M1-M0+1
//% if IN[r] == 0
//% for c in 0..CHANNELS
      var x$(r)_$(m)_$(c) = vec4f();
//% end
//% else
//% if EDGES && m+M0 < 0
//% if EDGES == 1
      var x$(r)_$(m)_0 = vec4f();
//% else
      var x$(r)_$(m)_0 = select(subgroupShuffleUp(x$(r)_$(S*V-1-M0)_0, 1u), vec4f(), tile_w == 0u);
//% end
//% end
//% if EDGES && m+M0 >= S*V
//% if EDGES == 1
      var x$(r)_$(m)_0 = vec4f();
//% else
      var x$(r)_$(m)_0 = select(subgroupShuffleDown(x$(r)_$(0-M0)_0, 1u), vec4f(), tile_w == p.tiles_w - 1u);
//% end
//% end
//% end
//% end
//% end
//% end
//% end
//% for t in 0..STEPS
    {
//% for r in 0..R
//% for tw in 0..TW
//% for v in 0..V
      let s$(r)_$(v)_$(tw) = vec4f(
//% for k in 0..4
        x$(r+t)_$((S*(4*v+k)+COL[tw])/4-M0)_$(OF[tw])[$((S*(4*v+k)+COL[tw])%4)],
//% end
      );
//% end
//% end
//% end
//% if LISTS
      for (var list = w_at; ; list += $(LANES)u) {
      let own = wt[list + lane];
      let bits = subgroupBroadcast(own.w, 0u);
      var slot = 0u;
//% else
//% if LANES
//% for k in 0..(GROUPS*Q*P+LANES-1)/LANES
      let own$(k) = wt[w_at + $(k*LANES)u + lane];
//% end
//% else
//% for k in 0..GROUPS*Q*P
      let own$(k) = wt[w_at + $(k)u];
//% end
//% end
//% if SKIP
//% for k in 0..(Q*P+LANES-1)/LANES
//% for j in 0..4/P
      let any$(k)_$(j*P) = abs(own$(k)[$(j*P)])
//% for tw in 1..TW
        + abs(own$(tw/P*4*Q*P/4/LANES+k)[$(j*P+tw%P)])
//% end
      ;
//% end
//% end
//% end
//% end
//% for c in 0..4*Q
//% if LISTS
      if ((bits & (1u << $(c)u)) != 0u) {
//% else
//% if SKIP
      if (subgroupBroadcast(any$(c*P/4/LANES)_$(c*P%4), $(c*P/4%LANES)u) != 0.0) {
//% else
      {
//% end
//% end
//% for tw in 0..TW
//% if LISTS
      let w$(tw) = bitcast<f32>(subgroupShuffle(own[$(tw)], slot));
//% else
//% if LANES
      let w$(tw) = subgroupBroadcast(own$((tw/P*4*Q+c)*P/4/LANES)[$(((tw/P*4*Q+c)*P+tw%P)%4)], $((tw/P*4*Q+c)*P/4%LANES)u);
//% else
      let w$(tw) = own$((tw*4*Q+c)/4)[$(c%4)];
//% end
//% end
//% end
//% if LISTS
      slot++;
//% end
//% for r in 0..R
//% if IN[r+t]
//% for v in 0..V
//% if CHANNELS > 1
      // one channel after the other, as if each were by itself
      a$(r)_$(c)_$(v) = a$(r)_$(c)_$(v) + w0 * s$(r)_$(v)_0
//% else
      // a row of taps is summed before it joins the rest: one access to an accumulator that may not fit the registers, and less rounding
      a$(r)_$(c)_$(v) += w0 * s$(r)_$(v)_0
//% end
//% for tw in 1..TW
        + w$(tw) * s$(r)_$(v)_$(tw)
//% end
      ;
//% end
//% end
//% end
      }
//% end
//% if LISTS
      if (subgroupBroadcast(own.w, 1u) == 0u) { break; }
      }
//% end
//% if KEEP == 1
//% for r in 1..ROWS
//% for m in 0..M1-M0+1
//% for c in 0..CHANNELS
      x$(r-1)_$(m)_$(c) = x$(r)_$(m)_$(c);
//% end
//% end
//% end
//% end
      w_at += $(GROUPS*Q*P)u;
    }
//% end
//% if KEEP < 2
    }
//% end
  }
//% for r in 0..R
//% for c in 0..4*Q
//% for v in 0..V
  total$(r)_$(c)_$(v) += a$(r)_$(c)_$(v);
//% end
//% end
//% end
  }

  // in a loop over an array: written out, the checks of the stores would take most of the time of compiling
  var all = array<vec4f, $(R*4*Q*V)>(
//% for r in 0..R
//% for c in 0..4*Q
//% for v in 0..V
    total$(r)_$(c)_$(v),
//% end
//% end
//% end
  );
  let co_count = p.co / p.groups;
  for (var o = 0u; o < $(R*4*Q)u; o++) {
    let co = tile_co * $(4*Q)u + o % $(4*Q)u;
    let row = tile_h * $(R)u + o / $(4*Q)u;
    if (!used || co >= co_count || row >= p.oh) { continue; }
    let at = ((n * p.co + group * co_count + co) * p.yh + row * p.ys + p.ya) * p.yw + p.yb;
    for (var v = 0u; v < $(V)u; v++) {
      let value = all[o * $(V)u + v];
      let col = (tile_w * $(V)u + v) * 4u;
      for (var k = 0u; k < min(4u, p.ow - min(col, p.ow)); k++) { y[at + (col + k) * p.ys] = value[k]; }
    }
  }
}
