// Weight gradient of conv2d for adapters that are processors, in slices that a second pass (a sum over axis 0) adds up: no float atomics, a
// fixed order.
//
//   part[s, co, ci, kh, kw] = Σ_{(n, strip) in slice s} Σ_i Σ_{j in strip}  g[n, co, i, j] · x[n, ci, S·i + D·kh - P, S·j + D·kw - P]
//
// x [N, CI, H, W], g [N, CO, OH, OW], part [SLICES, CO, CI/G, KH, KW]. A strip is $(4*V) columns of one image of g, all its rows.
//
// One invocation: $(TM) output x $(TC) input channels x $(TH) rows and all $(TW) columns of the kernel. It walks down its strips with vec4
// loads along columns and dot products, and keeps the rows of x that the next row of g needs again. Neighbouring invocations take
// neighbouring input channels. Of the vec4s that a row of taps covers, those from K0 to K1 - 1 are loaded: where a strip is a whole row,
// what is left and right of it is 0.
//% if LANES
// A workgroup is one subgroup, and its invocations need the same g: each loads every $(LANES)th vec4 of it and tells the others.
enable subgroups;
//% end
struct Params {
  n: u32, ci: u32, h: u32, w: u32,
  co: u32, oh: u32, ow: u32, kh: u32,
  groups: u32, pad: i32, dil: i32, slices: u32,
  strips: u32, slice_strips: u32, tiles_ci: u32, tiles_co: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
//% if VEC
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> g: array<vec4f>;
//% else
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
//% end
@group(0) @binding(3) var<storage, read_write> part: array<f32>;

// Four columns of a row of x, zero outside. `plane` is the row 0 of the channel in elements. A negative index is a huge u32. `&` and not
// `&&`, which branches: software adapters take very long to compile many small blocks.
fn load_x(plane: u32, row: i32, col: i32) -> vec4f {
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

// Four columns of g, `k` after `start`, which is in column `col`; zero past the row's end.
fn load_g(start: u32, k: u32, col: u32) -> vec4f {
//% if VEC
  let inside = col + k < p.ow;
  return select(vec4f(), g[select(0u, (start + k) >> 2u, inside)], inside);
//% else
//% for k in 0..4
  let in$(k) = col + k + $(k)u < p.ow;
  let v$(k) = select(0.0, g[select(0u, start + k + $(k)u, in$(k))], in$(k));
//% end
  return vec4f(v0, v1, v2, v3);
//% end
}

//% if LANES
@compute @workgroup_size($(LANES))
fn main(@builtin(workgroup_id) id: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
//% else
@compute @workgroup_size($(WX), $(WY))
fn main(@builtin(global_invocation_id) id: vec3u) {
//% end
  let ci_count = p.ci / p.groups;
  let co_count = p.co / p.groups;
  let tile_ci = id.x % p.tiles_ci;
  let slice = id.x / p.tiles_ci;
//% if TH == 1
  let kh = id.y % p.kh;
  let tile_co = (id.y / p.kh) % p.tiles_co;
  let group = id.y / (p.kh * p.tiles_co);
//% else
  let kh = 0u;
  let tile_co = id.y % p.tiles_co;
  let group = id.y / p.tiles_co;
//% end
  if (slice >= p.slices || group >= p.groups) { return; }
  let co0 = tile_co * $(TM)u;
  // a channel past the end is computed from the last one, and not stored
//% for c in 0..TC
//% if LANES
  let ci$(c) = (tile_ci * $(TC)u + $(c)u) * $(LANES)u + lane;
//% else
  let ci$(c) = tile_ci * $(TC)u + $(c)u;
//% end
  let plane$(c) = (group * ci_count + min(ci$(c), ci_count - 1u)) * p.h * p.w;
//% end
//% if LANES
//% for k in 0..(TM*V+LANES-1)/LANES
  let gplane$(k) = (group * co_count + min(co0 + ($(k*LANES)u + lane) / $(V)u, co_count - 1u)) * p.oh * p.ow;
//% end
//% else
//% for m in 0..TM
  let gplane$(m) = (group * co_count + min(co0 + $(m)u, co_count - 1u)) * p.oh * p.ow;
//% end
//% end
//% for m in 0..TM
//% for c in 0..TC
//% for t in 0..TH*TW
  var a$(m)_$(c)_$(t) = 0.0;
//% end
//% end
//% end

  let last = min((slice + 1u) * p.slice_strips, p.n * p.strips);
  for (var strip = slice * p.slice_strips; strip < last; strip++) {
    let n = strip / p.strips;
    let col = (strip % p.strips) * $(4*V)u;
    let x_image = n * p.ci * p.h * p.w;
//% for c in 0..TC
//% for h in 0..HELD
//% for k in K0..K1
    var held$(c)_$(h)_$(k) = load_x(x_image + plane$(c), $(h) - p.pad, i32(col * $(S)u) + $(4*(k+M0)));
//% end
//% end
//% end
    for (var i = 0u; i < p.oh; i++) {
      let row = i32(i * $(S)u) + p.dil * i32(kh) - p.pad;
      let g_row = (n * p.co * p.oh + i) * p.ow + col;
//% if LANES
//% for k in 0..(TM*V+LANES-1)/LANES
      let own$(k) = load_g(g_row + gplane$(k), 4u * (($(k*LANES)u + lane) % $(V)u), col);
//% end
//% end
//% for c in 0..TC
//% for h in 0..TH
//% for k in 0..M1-M0+1
//% if k < K0 || k >= K1
      let x$(c)_$(h)_$(k) = vec4f();
//% end
//% if k >= K0 && k < K1
//% if h < HELD
      let x$(c)_$(h)_$(k) = held$(c)_$(h)_$(k);
//% else
      let x$(c)_$(h)_$(k) = load_x(x_image + plane$(c), row + p.dil * $(h), i32(col * $(S)u) + $(4*(k+M0)));
//% end
//% end
//% end
//% for t in 0..TW
//% for v in 0..V
      let s$(c)_$(h*TW+t)_$(v) = vec4f(
//% for k in 0..4
        x$(c)_$(h)_$((S*(4*v+k)+COL[t])/4-M0)[$((S*(4*v+k)+COL[t])%4)],
//% end
      );
//% end
//% end
//% end
//% for h in 0..HELD
//% for k in K0..K1
      held$(c)_$(h)_$(k) = x$(c)_$(h+S)_$(k);
//% end
//% end
//% end
//% for m in 0..TM
//% for v in 0..V
//% if LANES
      let g$(m)_$(v) = subgroupBroadcast(own$((m*V+v)/LANES), $((m*V+v)%LANES)u);
//% else
      let g$(m)_$(v) = load_g(g_row + gplane$(m), $(4*v)u, col);
//% end
//% end
//% for c in 0..TC
//% for t in 0..TH*TW
      a$(m)_$(c)_$(t) += dot(g$(m)_0, s$(c)_$(t)_0)
//% for v in 1..V
        + dot(g$(m)_$(v), s$(c)_$(t)_$(v))
//% end
      ;
//% end
//% end
//% end
    }
  }

  // in a loop over an array: written out, the checks of the stores would take most of the time of compiling
  var all = array<f32, $(TM*TC*TH*TW)>(
//% for m in 0..TM
//% for c in 0..TC
//% for t in 0..TH*TW
    a$(m)_$(c)_$(t),
//% end
//% end
//% end
  );
  var channels = array<u32, $(TC)>(
//% for c in 0..TC
    ci$(c),
//% end
  );
  for (var o = 0u; o < $(TM*TC)u; o++) {
    let co = co0 + o / $(TC)u;
    let ci = channels[o % $(TC)u];
    if (co >= co_count || ci >= ci_count) { continue; }
    let at = (((slice * p.co + group * co_count + co) * ci_count + ci) * p.kh + kh) * $(TW)u;
    for (var t = 0u; t < $(TH*TW)u; t++) { part[at + t] = all[o * $(TH*TW)u + t]; }
  }
}
