// y[i] = EXPR(a[...], b[...], c[...], d[...]) over a broadcast shape, EXPR one line of elementwise.ts.
//
// Linear variant (STRIDED = 0): every input has the output's shape (KIND 0), one element (KIND 1), or one element a channel of an output
// [N, dims[0], dims[1]] (KIND 2). PER vec4f an invocation; buffers are padded so that the last vec4 may pass the end. Strided variant: one element an
// invocation, each input with its own strides (0 where it is broadcast) over at most 8 merged dimensions.
struct Params {
  size: u32, rank: u32, s0: f32, s1: f32,
  dims: array<vec4u, 2>,
//% for k in 0..INPUTS
  strides$(k): array<vec4u, 2>,
//% end
}
@group(0) @binding(0) var<uniform> p: Params;
//% if STRIDED
alias T = f32;
alias M = bool;
//% else
alias T = vec4f;
alias M = vec4<bool>;
//% end
//% for k in 0..INPUTS
//% if STRIDED || KIND[k] != 0
@group(0) @binding($(k+1)) var<storage, read> x$(k): array<f32>;
//% else
@group(0) @binding($(k+1)) var<storage, read> x$(k): array<vec4f>;
//% end
//% end
@group(0) @binding($(INPUTS+1)) var<storage, read_write> y: array<T>;

fn f($(ARGS)) -> T {
  return $(EXPR);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
//% if STRIDED
  if (i >= p.size) { return; }
  var rest = i;
//% for k in 0..INPUTS
  var at$(k) = 0u;
//% end
  for (var d = i32(p.rank) - 1; d >= 0; d--) {
    let size = p.dims[d / 4][d % 4];
    let at = rest % size;
    rest /= size;
//% for k in 0..INPUTS
    at$(k) += at * p.strides$(k)[d / 4][d % 4];
//% end
  }
//% for k in 0..INPUTS
  let v$(k) = x$(k)[at$(k)];
//% end
  y[i] = f($(VALUES));
//% else
  if (i * $(4*PER)u >= p.size) { return; }
//% for k in 0..INPUTS
//% if KIND[k] == 1
  let v$(k) = T(x$(k)[0]);
//% end
//% end
//% for t in 0..PER
  {
    let at = i * $(PER)u + $(t)u;
//% for k in 0..INPUTS
//% if KIND[k] == 0
    let v$(k) = x$(k)[at];
//% end
//% if KIND[k] == 2
    let v$(k) = T(x$(k)[(at * 4u / p.dims[0][1]) % p.dims[0][0]]);
//% end
//% end
    y[at] = f($(VALUES));
  }
//% end
//% end
}
