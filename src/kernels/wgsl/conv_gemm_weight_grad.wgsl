// Weight gradient of conv2d as a matrix product over all positions, for GPUs, in slices of the positions that a second pass adds up: no float
// atomics, a fixed order.
//
//   part[s, co, k] = Σ_{p in slice s}  g[co, p] · x[k, p],   k = (ci, kh, kw),   p = (n, i, j)
//   x[k, p] = x[n, ci, S·i + D·kh - P, S·j + D·kw - P], 0 outside
//
// x [N, CI, H, W], g [N, CO, OH, OW], part [SLICES, CO, CI/G·KH·KW].
//
// A workgroup of $(WX) x $(WY) invocations: $(BM) channels x $(BN) columns k; an invocation $(TM) x $(TN) of them. Each step of $(BP) positions is
// staged in workgroup memory as vec4 along positions, and the next one is loaded while it is worked on. Rows of a stage are padded by two
// vec4, so that neighbouring invocations, which store down the rows, meet different banks.
struct Params {
  n: u32, ci: u32, h: u32, w: u32,
  co: u32, oh: u32, ow: u32, stride: u32,
  pad: i32, dil: i32, groups: u32, tiles_m: u32,
  tiles_k: u32, rows: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
//% if VEC
@group(0) @binding(2) var<storage, read> g: array<vec4f>;
//% else
@group(0) @binding(2) var<storage, read> g: array<f32>;
//% end
@group(0) @binding(3) var<storage, read_write> part: array<f32>;

var<workgroup> a_tile: array<vec4f, $(2*BP/4*(BM+2))>;
var<workgroup> b_tile: array<vec4f, $(2*BP/4*(BN+2))>;

// One element of x for a column and a position; `to` is the channel's row 0, `inside` says that both exist.
fn gather(inside: bool, to: u32, row: i32, col: i32) -> f32 {
  if (inside && u32(row) < p.h && u32(col) < p.w) { return x[to + u32(row) * p.w + u32(col)]; }
  return 0.0;
}

@compute @workgroup_size($(WX), $(WY))
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_id) l: vec3u, @builtin(local_invocation_index) t: u32) {
  let ci_count = p.ci / p.groups;
  let co_count = p.co / p.groups;
  let k_count = ci_count * $(KH*KW)u;
  let positions = p.oh * p.ow;
  let all = p.n * positions;
  let tile_k = id.x % p.tiles_k;
  let slice = id.x / p.tiles_k;
  let tile_m = id.y % p.tiles_m;
  let group = id.y / p.tiles_m;
  let quad = t % $(BP/4)u;

  // the channels of g and the columns of x that this invocation loads
//% for i in 0..BP*BM/4/(WX*WY)
  let load_m$(i) = tile_m * $(BM)u + t / $(BP/4)u + $(i*WX*WY/(BP/4))u;
//% end
//% for i in 0..BP*BN/4/(WX*WY)
  let load_k$(i) = tile_k * $(BN)u + t / $(BP/4)u + $(i*WX*WY/(BP/4))u;
  let down$(i) = p.dil * i32(load_k$(i) / $(KW)u % $(KH)u) - p.pad;
  let right$(i) = p.dil * i32(load_k$(i) % $(KW)u) - p.pad;
  let channel$(i) = (group * ci_count + load_k$(i) / $(KH*KW)u) * p.h * p.w;
//% end

//% for m in 0..TM
//% for j in 0..TN
  var acc$(m)_$(j) = 0.0;
//% end
//% end
//% for i in 0..BP*BM/4/(WX*WY)
  var a_next$(i) = vec4f();
//% end
//% for i in 0..BP*BN/4/(WX*WY)
  var b_next$(i) = vec4f();
//% end

  let begin = slice * p.rows;
  let end = min(begin + p.rows, all);
  let steps = (end - min(begin, end) + $(BP-1)u) / $(BP)u;
  for (var step = 0u; step <= steps; step++) {
    // loads of step `step`, of which the last is none
    if (step < steps) {
      let at = begin + step * $(BP)u + quad * 4u;
//% if VEC
      let n = at / positions;
      let i = at % positions / p.ow;
      let j = at % p.ow;
      let inside = at < end;
//% for i in 0..BP*BM/4/(WX*WY)
      a_next$(i) = vec4f();
      if (inside && load_m$(i) < co_count) { a_next$(i) = g[((n * p.co + group * co_count + load_m$(i)) * positions + at % positions) >> 2u]; }
//% end
      let row = i32(i * p.stride);
      let col = i32(j * p.stride);
      let image = n * p.ci * p.h * p.w;
//% for i in 0..BP*BN/4/(WX*WY)
      b_next$(i) = vec4f();
      if (inside && load_k$(i) < k_count && u32(row + down$(i)) < p.h) {
        let start = image + channel$(i) + u32(row + down$(i)) * p.w;
//% for c in 0..4
        let c$(c) = col + i32($(c)u * p.stride) + right$(i);
        if (u32(c$(c)) < p.w) { b_next$(i)[$(c)] = x[start + u32(c$(c))]; }
//% end
      }
//% end
//% else
//% for c in 0..4
      {
        let one = at + $(c)u;
        let n = one / positions;
        let row = i32(one % positions / p.ow * p.stride);
        let col = i32(one % p.ow * p.stride);
//% for i in 0..BP*BM/4/(WX*WY)
        a_next$(i)[$(c)] = 0.0;
        if (one < end && load_m$(i) < co_count) {
          a_next$(i)[$(c)] = g[(n * p.co + group * co_count + load_m$(i)) * positions + one % positions];
        }
//% end
//% for i in 0..BP*BN/4/(WX*WY)
        b_next$(i)[$(c)] = gather(one < end && load_k$(i) < k_count, n * p.ci * p.h * p.w + channel$(i), row + down$(i), col + right$(i));
//% end
      }
//% end
//% end
    }

    // products of the step before
    if (step > 0u) {
      let a_at = ((step - 1u) & 1u) * $(BP/4*(BM+2))u + l.y;
      let b_at = ((step - 1u) & 1u) * $(BP/4*(BN+2))u + l.x;
//% for q in 0..BP/4
      {
//% for m in 0..TM
        let a$(m) = a_tile[a_at + $(q*(BM+2)+m*WY)u];
//% end
//% for j in 0..TN
        let b$(j) = b_tile[b_at + $(q*(BN+2)+j*WX)u];
//% for m in 0..TM
//% for c in 0..4
        acc$(m)_$(j) = fma(a$(m)[$(c)], b$(j)[$(c)], acc$(m)_$(j));
//% end
//% end
//% end
      }
//% end
    }

    if (step < steps) {
      let a_at = ((step & 1u) * $(BP/4)u + quad) * $(BM+2)u + t / $(BP/4)u;
      let b_at = ((step & 1u) * $(BP/4)u + quad) * $(BN+2)u + t / $(BP/4)u;
//% for i in 0..BP*BM/4/(WX*WY)
      a_tile[a_at + $(i*WX*WY/(BP/4))u] = a_next$(i);
//% end
//% for i in 0..BP*BN/4/(WX*WY)
      b_tile[b_at + $(i*WX*WY/(BP/4))u] = b_next$(i);
//% end
    }
    workgroupBarrier();
  }

  let m0 = tile_m * $(BM)u + l.y;
  let k0 = tile_k * $(BN)u + l.x;
  let out = (slice * p.co + group * co_count) * k_count;
//% for m in 0..TM
//% for j in 0..TN
  if (m0 + $(m*WY)u < co_count && k0 + $(j*WX)u < k_count) { part[out + (m0 + $(m*WY)u) * k_count + k0 + $(j*WX)u] = acc$(m)_$(j); }
//% end
//% end
}
