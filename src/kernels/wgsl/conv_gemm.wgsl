// Convolution as a matrix product whose right operand is gathered while it is read (implicit GEMM), for GPUs: forward of any conv2d, and
// each phase of its input gradient.
//
//   y[co, p] = Σ_k  w[k, co] · x[k, p],   k = (th, tw, ci) or (ci, th, tw),   p = (n, i, j)
//   x[k, p] = x[n, ci, S·i + r0 + rd·th, S·j + c0 + cd·tw], 0 outside;   y[co, p] is stored at y[n, co, ys·i + ya, ys·j + yb]
//
// x [N, CI, H, W], w packed [G, TILES, K, $(BM)], y [N, CO, YH, YW].
//
// A workgroup of $(WX) x $(WY) invocations: $(BM) channels x $(BN) positions; an invocation $(TM) x $(TN) of them. Each step of $(BK) terms is
// staged in workgroup memory, and the next one is loaded while it is worked on. Invocations along x have neighbouring positions. With BLOCKS the
// terms of a step are summed on their own: a few more additions, much less rounding.
struct Params {
  n: u32, ci: u32, h: u32, w: u32,
  co: u32, oh: u32, ow: u32, yh: u32,
  yw: u32, ys: u32, ya: u32, yb: u32,
  r0: i32, rd: i32, c0: i32, cd: i32,
  groups: u32, tiles: u32, stride: i32, k: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> wt: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Two stages of each operand: w as vec4 along channels [BK, BM/4], x as vec4 along terms [BK/4, BN].
var<workgroup> a_tile: array<vec4f, $(2*BK*BM/4)>;
var<workgroup> b_tile: array<vec4f, $(2*BK*BN/4)>;

@compute @workgroup_size($(WX), $(WY))
fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) size: vec3u, @builtin(local_invocation_id) l: vec3u,
  @builtin(local_invocation_index) t: u32,
) {
  let ci_count = p.ci / p.groups;
  let plane = p.h * p.w;
  let positions = p.oh * p.ow;
  let first = (id.x + id.z * size.x) * $(BN)u;
  let group = id.y / p.tiles;

  // the position that this invocation gathers
  let own = first + t % $(BN)u;
  let own_n = own / positions;
  let own_in = own_n < p.n;
  let row0 = i32(own % positions / p.ow) * p.stride + p.r0;
  let col0 = i32(own % p.ow) * p.stride + p.c0;
  let image = (own_n * p.ci + group * ci_count) * plane;
  let w_base = id.y * p.k * $(BM/4)u;

//% for j in 0..TN
//% for m in 0..TM/4
  var acc$(j)_$(m) = vec4f();
//% end
//% end
//% for i in 0..(BK*BM/4+WX*WY-1)/(WX*WY)
  var a_next$(i) = vec4f();
//% end
//% for i in 0..BK*BN/4/(WX*WY)
  var b_next$(i) = vec4f();
//% end

  let steps = (p.k + $(BK-1)u) / $(BK)u;
  for (var step = 0u; step <= steps; step++) {
    // loads of step `step`, of which the last is none
    let k0 = step * $(BK)u;
    if (step < steps) {
//% for i in 0..(BK*BM/4+WX*WY-1)/(WX*WY)
      {
        let e = t + $(i*WX*WY)u;
//% if TAIL || BK*BM/4 % (WX*WY) != 0
        a_next$(i) = select(vec4f(), wt[min(w_base + k0 * $(BM/4)u + e, w_base + p.k * $(BM/4)u - 1u)], k0 + e / $(BM/4)u < p.k);
//% else
        a_next$(i) = wt[w_base + k0 * $(BM/4)u + e];
//% end
      }
//% end
//% if OUTER
      // all terms of a step belong to one tap
      let tap = k0 / ci_count;
      let row = row0 + p.rd * i32(tap / $(TW)u);
      let col = col0 + p.cd * i32(tap % $(TW)u);
      let inside = own_in && u32(row) < p.h && u32(col) < p.w;
      let at = image + (k0 % ci_count) * plane + u32(row) * p.w + u32(col);
//% for i in 0..BK*BN/4/(WX*WY)
      b_next$(i) = vec4f();
      if (inside) {
        let start = at + (t / $(BN)u + $(i*WX*WY/BN)u) * 4u * plane;
        b_next$(i) = vec4f(x[start], x[start + plane], x[start + 2u * plane], x[start + 3u * plane]);
      }
//% end
//% else
//% for i in 0..BK*BN/4/(WX*WY)
//% for c in 0..4
      {
        let k = k0 + (t / $(BN)u + $(i*WX*WY/BN)u) * 4u + $(c)u;
        let row = row0 + p.rd * i32(k / $(TW)u % $(TH)u);
        let col = col0 + p.cd * i32(k % $(TW)u);
        // `&` and `select`: branches, one an element, would be more than software adapters can compile
        let inside = own_in & (k < p.k) & (u32(row) < p.h) & (u32(col) < p.w);
        let value = x[select(0u, image + k / $(TH*TW)u * plane + u32(row) * p.w + u32(col), inside)];
        b_next$(i)[$(c)] = select(0.0, value, inside);
      }
//% end
//% end
//% end
    }

    // products of the step before
    if (step > 0u) {
      let a_at = ((step - 1u) & 1u) * $(BK*BM/4)u + l.y;
      let b_at = ((step - 1u) & 1u) * $(BK*BN/4)u + l.x;
//% if BLOCKS
//% for j in 0..TN
//% for m in 0..TM/4
      let sum$(j)_$(m) = acc$(j)_$(m);
      acc$(j)_$(m) = vec4f();
//% end
//% end
//% end
//% for q in 0..BK/4
      {
//% for c in 0..4
//% for m in 0..TM/4
        let a$(c)_$(m) = a_tile[a_at + $((4*q+c)*BM/4+m*WY)u];
//% end
//% end
//% for j in 0..TN
        let b$(j) = b_tile[b_at + $(q*BN+j*WX)u];
//% for c in 0..4
//% for m in 0..TM/4
        acc$(j)_$(m) = fma(a$(c)_$(m), vec4f(b$(j)[$(c)]), acc$(j)_$(m));
//% end
//% end
//% end
      }
//% end
//% if BLOCKS
//% for j in 0..TN
//% for m in 0..TM/4
      acc$(j)_$(m) += sum$(j)_$(m);
//% end
//% end
//% end
    }

    if (step < steps) {
      let a_at = (step & 1u) * $(BK*BM/4)u + t;
      let b_at = (step & 1u) * $(BK*BN/4)u + t;
//% for i in 0..(BK*BM/4+WX*WY-1)/(WX*WY)
//% if (i+1)*WX*WY > BK*BM/4
      if (t + $(i*WX*WY)u < $(BK*BM/4)u) { a_tile[a_at + $(i*WX*WY)u] = a_next$(i); }
//% else
      a_tile[a_at + $(i*WX*WY)u] = a_next$(i);
//% end
//% end
//% for i in 0..BK*BN/4/(WX*WY)
      b_tile[b_at + $(i*WX*WY)u] = b_next$(i);
//% end
    }
    workgroupBarrier();
  }

  let co_count = p.co / p.groups;
  let co0 = id.y % p.tiles * $(BM)u + l.y * 4u;
//% for j in 0..TN
  {
    let at = first + l.x + $(j*WX)u;
    let n = at / positions;
    if (n < p.n) {
      let out = (n * p.co + group * co_count) * p.yh * p.yw + (at % positions / p.ow * p.ys + p.ya) * p.yw + at % p.ow * p.ys + p.yb;
//% for m in 0..TM/4
//% for c in 0..4
      if (co0 + $(m*WY*4+c)u < co_count) { y[out + (co0 + $(m*WY*4+c)u) * p.yh * p.yw] = acc$(j)_$(m)[$(c)]; }
//% end
//% end
    }
  }
//% end
}
