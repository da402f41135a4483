// Weight gradient of conv2d as a matrix product over all positions, on matrix units, in slices of the positions that a second pass adds up.
//
//   part[s, co, k] = Σ_{p in slice s}  f16(scale·g[co, p]) · f16(x[k, p]) / scale,   k = (ci, kh, kw),   p = (n, i, j)
//   x[k, p] = x[n, ci, S·i + D·kh - P, S·j + D·kw - P], 0 outside
//
// The operands are rounded to f16, their products are summed in f32. `scale`, a power of two, lifts small gradients into the range of f16.
// x [N, CI, H, W], g [N, CO, OH, OW], part [SLICES, CO, CI/G·KH·KW]. CO/G and CI/G·KH·KW are multiples of 16, OW of 4.
//
// A workgroup of $(WM) x $(WN) subgroups: $(BM) channels x $(BN) columns k; a subgroup $(FM) x $(FN) tiles of 16 x 16. Each step of $(BP) positions
// is staged in workgroup memory, positions side by side, and the next one is loaded while it is worked on. Rows are padded by eight elements.
enable f16;
enable chromium_experimental_subgroup_matrix;
// the number of a subgroup decides which tiles exist; it is the same for the whole of it
diagnostic(off, chromium.subgroup_matrix_uniformity);
struct Params {
  n: u32, ci: u32, h: u32, w: u32,
  co: u32, oh: u32, ow: u32, stride: u32,
  pad: i32, dil: i32, groups: u32, tiles_m: u32,
  tiles_k: u32, rows: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> part: array<f32>;

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

// Two stages of each operand: g as [BM, BP], x as [BN, BP].
var<workgroup> a_tile: array<f16, $(2*BM*(BP+8))>;
var<workgroup> b_tile: array<f16, $(2*BN*(BP+8))>;

@compute @workgroup_size($(32*WM*WN))
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) t: u32) {
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
  let subgroup_m = t / $(32*WN)u * $(16*FM)u;
  let subgroup_n = t / 32u % $(WN)u * $(16*FN)u;

  // the channels of g and the columns of x that this invocation loads
//% for i in 0..BP*BM/4/(32*WM*WN)
  let load_m$(i) = tile_m * $(BM)u + t / $(BP/4)u + $(i*32*WM*WN/(BP/4))u;
//% end
//% for i in 0..BP*BN/4/(32*WM*WN)
  let load_k$(i) = tile_k * $(BN)u + t / $(BP/4)u + $(i*32*WM*WN/(BP/4))u;
  let down$(i) = p.dil * i32(load_k$(i) / $(KW)u % $(KH)u) - p.pad;
  let right$(i) = p.dil * i32(load_k$(i) % $(KW)u) - p.pad;
  let channel$(i) = (group * ci_count + load_k$(i) / $(KH*KW)u) * p.h * p.w;
//% end

//% for m in 0..FM
//% for n in 0..FN
  var sum$(m)_$(n) = Sum();
//% end
//% end
//% for i in 0..BP*BM/4/(32*WM*WN)
  var a_next$(i) = vec4f();
//% end
//% for i in 0..BP*BN/4/(32*WM*WN)
  var b_next$(i) = vec4f();
//% end

  let begin = slice * p.rows;
  let end = min(begin + p.rows, all);
  let steps = (end - min(begin, end) + $(BP-1)u) / $(BP)u;
  for (var step = 0u; step <= steps; step++) {
    // loads of step `step`, of which the last is none; four positions lie in one row
    if (step < steps) {
      let at = begin + step * $(BP)u + quad * 4u;
      let n = at / positions;
      let inside = at < end;
//% for i in 0..BP*BM/4/(32*WM*WN)
      a_next$(i) = vec4f();
      if (inside && load_m$(i) < co_count) { a_next$(i) = g[((n * p.co + group * co_count + load_m$(i)) * positions + at % positions) >> 2u]; }
//% end
      let row = i32(at % positions / p.ow * p.stride);
      let col = i32(at % p.ow * p.stride);
      let image = n * p.ci * p.h * p.w;
//% for i in 0..BP*BN/4/(32*WM*WN)
      b_next$(i) = vec4f();
      if (inside && load_k$(i) < k_count && u32(row + down$(i)) < p.h) {
        let start = image + channel$(i) + u32(row + down$(i)) * p.w;
//% for c in 0..4
        let c$(c) = col + i32($(c)u * p.stride) + right$(i);
        if (u32(c$(c)) < p.w) { b_next$(i)[$(c)] = x[start + u32(c$(c))]; }
//% end
      }
//% end
    }

    // products of the step before
    if (step > 0u) {
      let a_at = (((step - 1u) & 1u) * $(BM)u + subgroup_m) * $(BP+8)u;
      let b_at = (((step - 1u) & 1u) * $(BN)u + subgroup_n) * $(BP+8)u;
//% for q in 0..BP/16
//% for n in 0..FN
      let right$(q)_$(n) = subgroupMatrixLoad<Right, col_major>(&b_tile, b_at + $(16*n*(BP+8)+16*q)u, $(BP+8)u);
//% end
//% for m in 0..FM
      let left$(q)_$(m) = subgroupMatrixLoad<Left, row_major>(&a_tile, a_at + $(16*m*(BP+8)+16*q)u, $(BP+8)u);
//% for n in 0..FN
      sum$(m)_$(n) = subgroupMatrixMultiplyAccumulate(left$(q)_$(m), right$(q)_$(n), sum$(m)_$(n));
//% end
//% end
//% end
    }

    if (step < steps) {
      let a_at = ((step & 1u) * $(BM)u + t / $(BP/4)u) * $(BP+8)u + quad * 4u;
      let b_at = ((step & 1u) * $(BN)u + t / $(BP/4)u) * $(BP+8)u + quad * 4u;
//% for c in 0..4
//% for i in 0..BP*BM/4/(32*WM*WN)
      a_tile[a_at + $(i*32*WM*WN/(BP/4)*(BP+8)+c)u] = f16(a_next$(i)[$(c)] * p.scale);
//% end
//% for i in 0..BP*BN/4/(32*WM*WN)
      b_tile[b_at + $(i*32*WM*WN/(BP/4)*(BP+8)+c)u] = f16(b_next$(i)[$(c)]);
//% end
//% end
    }
    workgroupBarrier();
  }

  let m0 = tile_m * $(BM)u + subgroup_m;
  let k0 = tile_k * $(BN)u + subgroup_n;
  let out = (slice * p.co + group * co_count) * k_count;
//% for m in 0..FM
//% for n in 0..FN
  if (m0 + $(16*m)u < co_count && k0 + $(16*n)u < k_count) {
    let result = subgroupMatrixScalarMultiply(sum$(m)_$(n), 1.0 / p.scale);
    subgroupMatrixStore<row_major>(&part, out + (m0 + $(16*m)u) * k_count + k0 + $(16*n)u, result, k_count);
  }
//% end
//% end
}
