// y[m, i, j] = x[m, S·i, S·j]: the elements of an image that a stride reaches.
//
// x [M, H, W], y [M, I, J], S = $(S). One invocation an element of y, or a vec4 where J % 4 = 0 and W % 4 = 0 (VEC).
struct Params { size: u32, h: u32, w: u32, rows: u32, cols: u32 }
//% if VEC
alias T = vec4f;
//% else
alias T = f32;
//% end
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.size) { return; }
  let at = i * $(1+3*VEC)u;
  let row = at / p.cols;
  let first = (row / p.rows * p.h + row % p.rows * $(S)u) * p.w + at % p.cols * $(S)u;
//% if VEC
//% for k in 0..(3*S)/4+1
  let x$(k) = x[first / 4u + $(k)u];
//% end
  y[i] = vec4f(
//% for k in 0..4
    x$(k*S/4)[$(k*S%4)],
//% end
  );
//% else
  y[i] = x[first];
//% end
}
