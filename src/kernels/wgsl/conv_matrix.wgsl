// Convolution as an implicit matrix product on matrix units: forward of any conv2d, and each phase of its input gradient.
//
//   y[co, p] = Σ_k  f16(w[k, co]) · f16(scale·x[k, p]) / scale,   k = (th, tw, ci),   p = (n, i, j)
//   x[k, p] = x[n, ci, S·i + r0 + rd·th, S·j + c0 + cd·tw], 0 outside;   y[co, p] is stored at y[n, co, ys·i + ya, ys·j + yb]
//
// The operands are rounded to f16, their products are summed in f32. `scale`, a power of two, lifts small gradients into the range of f16.
// x [N, CI, H, W], w packed in f16 [G, TILES, K, $(BM)], y [N, CO, YH, YW]. CI/G is a multiple of $(BK).
//
// A workgroup of $(WM) x $(WN) subgroups: $(BM) channels x $(BN) positions; a subgroup $(FM) x $(FN) tiles of 16 x 16. Each step of $(BK) terms
// is staged in workgroup memory, and the next one is loaded while it is worked on. Rows of a stage are padded by eight elements, so that the
// rows of a tile lie in different banks.
//% if DIRECT
// CO/G and OH·OW are multiples of 16, and positions lie side by side in y: whole tiles are stored.
//% else
// Tiles of the result go through workgroup memory, because a store of a whole one could not keep to the edges and strides of y.
//% end
enable f16;
enable chromium_experimental_subgroup_matrix;
// the number of a subgroup decides which tiles exist; it is the same for the whole of it
diagnostic(off, chromium.subgroup_matrix_uniformity);
struct Params {
  n: u32, ci: u32, h: u32, w: u32,
  co: u32, oh: u32, ow: u32, yh: u32,
  yw: u32, ys: u32, ya: u32, yb: u32,
  r0: i32, rd: i32, c0: i32, cd: i32,
  groups: u32, tiles: u32, stride: i32, k: u32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> wt: array<vec4<f16>>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

// Two stages of each operand: w as [BK, BM], x as [BK, BN].
var<workgroup> a_tile: array<f16, $(2*BK*(BM+8))>;
var<workgroup> b_tile: array<f16, $(2*BK*(BN+8))>;
//% if DIRECT
//% else
var<workgroup> results: array<f32, $(256*WM*WN)>;
//% end

@compute @workgroup_size($(32*WM*WN))
fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) size: vec3u, @builtin(local_invocation_index) t: u32,
) {
  let ci_count = p.ci / p.groups;
  let plane = p.h * p.w;
  let positions = p.oh * p.ow;
  let first = (id.x + id.z * size.x) * $(BN)u;
  let group = id.y / p.tiles;
  let subgroup_m = t / $(32*WN)u * $(16*FM)u;
  let subgroup_n = t / 32u % $(WN)u * $(16*FN)u;

  // the position that this invocation gathers
  let own = first + t % $(BN)u;
  let own_n = own / positions;
  let own_in = own_n < p.n;
  let row0 = i32(own % positions / p.ow) * p.stride + p.r0;
  let col0 = i32(own % p.ow) * p.stride + p.c0;
  let image = (own_n * p.ci + group * ci_count) * plane;
  let w_base = id.y * p.k * $(BM/4)u;

//% for m in 0..FM
//% for n in 0..FN
  var sum$(m)_$(n) = Sum();
//% end
//% end
//% for i in 0..BK*BM/4/(32*WM*WN)
  var a_next$(i) = vec4<f16>();
//% end
//% for i in 0..BK*BN/(32*WM*WN)
  var b_next$(i) = 0.0;
//% end

  let steps = p.k / $(BK)u;
  for (var step = 0u; step <= steps; step++) {
    // loads of step `step`, of which the last is none; all terms of a step belong to one tap
    if (step < steps) {
      let k0 = step * $(BK)u;
//% for i in 0..BK*BM/4/(32*WM*WN)
      a_next$(i) = wt[w_base + k0 * $(BM/4)u + t + $(i*32*WM*WN)u];
//% end
      let tap = k0 / ci_count;
      let row = row0 + p.rd * i32(tap / $(TW)u);
      let col = col0 + p.cd * i32(tap % $(TW)u);
      let inside = own_in && u32(row) < p.h && u32(col) < p.w;
      let at = image + (k0 % ci_count + t / $(BN)u) * plane + u32(row) * p.w + u32(col);
//% for i in 0..BK*BN/(32*WM*WN)
      b_next$(i) = 0.0;
//% end
      if (inside) {
//% for i in 0..BK*BN/(32*WM*WN)
        b_next$(i) = x[at + $(i*32*WM*WN/BN)u * plane];
//% end
      }
    }

    // products of the step before
    if (step > 0u) {
      let a_at = ((step - 1u) & 1u) * $(BK*(BM+8))u + subgroup_m;
      let b_at = ((step - 1u) & 1u) * $(BK*(BN+8))u + subgroup_n;
//% for q in 0..BK/16
//% for n in 0..FN
      let right$(q)_$(n) = subgroupMatrixLoad<Right, row_major>(&b_tile, b_at + $(16*q*(BN+8)+16*n)u, $(BN+8)u);
//% end
//% for m in 0..FM
      let left$(q)_$(m) = subgroupMatrixLoad<Left, col_major>(&a_tile, a_at + $(16*q*(BM+8)+16*m)u, $(BM+8)u);
//% for n in 0..FN
      sum$(m)_$(n) = subgroupMatrixMultiplyAccumulate(left$(q)_$(m), right$(q)_$(n), sum$(m)_$(n));
//% end
//% end
//% end
    }

    if (step < steps) {
      let a_at = (step & 1u) * $(BK*(BM+8))u + t / $(BM/4)u * $(BM+8)u + t % $(BM/4)u * 4u;
      let b_at = (step & 1u) * $(BK*(BN+8))u + t / $(BN)u * $(BN+8)u + t % $(BN)u;
//% for i in 0..BK*BM/4/(32*WM*WN)
//% for c in 0..4
      a_tile[a_at + $(i*32*WM*WN/(BM/4)*(BM+8)+c)u] = a_next$(i)[$(c)];
//% end
//% end
//% for i in 0..BK*BN/(32*WM*WN)
      b_tile[b_at + $(i*32*WM*WN/BN*(BN+8))u] = f16(b_next$(i) * p.scale);
//% end
    }
    workgroupBarrier();
  }

  let co_count = p.co / p.groups;
  let co0 = id.y % p.tiles * $(BM)u + subgroup_m;
//% if DIRECT
//% for n in 0..FN
  {
    // sixteen positions lie in one image
    let at = first + subgroup_n + $(16*n)u;
    let out = (at / positions * p.co + group * co_count + co0) * positions + at % positions;
//% for m in 0..FM
    if (at < p.n * positions && co0 + $(16*m)u < co_count) {
      let result = subgroupMatrixScalarMultiply(sum$(m)_$(n), 1.0 / p.scale);
      subgroupMatrixStore<row_major>(&y, out + $(16*m)u * positions, result, positions);
    }
//% end
  }
//% end
//% else
  let lane = t % 32u;
  let mine = t / 32u * 256u;
//% for n in 0..FN
  {
    // each invocation stores the channels of one position, every second of them
    let at = first + subgroup_n + $(16*n)u + lane % 16u;
    let i = at % positions / p.ow;
    let out = (at / positions * p.co + group * co_count) * p.yh * p.yw + (i * p.ys + p.ya) * p.yw + at % p.ow * p.ys + p.yb;
//% for m in 0..FM
    subgroupMatrixStore<row_major>(&results, mine, sum$(m)_$(n), 16u);
    workgroupBarrier();
    for (var c = lane / 16u; c < 16u; c += 2u) {
      let co = co0 + $(16*m)u + c;
      if (at < p.n * positions && co < co_count) { y[out + co * p.yh * p.yw] = results[mine + c * 16u + lane % 16u] / p.scale; }
    }
    workgroupBarrier();
//% end
  }
//% end
//% end
}
