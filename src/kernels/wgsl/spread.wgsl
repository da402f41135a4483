// y[m, S·i + a, S·j + b] = x[m, i, j], every other element 0;  [+ before] (ADD)
//
// x [M, I, J], y and before [M, H, W], S = $(S). One invocation an element of y, or a vec4 where W % 4 = 0 (VEC).
struct Params { size: u32, h: u32, w: u32, rows: u32, cols: u32, a: u32, b: u32 }
//% if VEC
alias T = vec4f;
//% else
alias T = f32;
//% end
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;
//% if ADD
@group(0) @binding(3) var<storage, read> before: array<T>;
//% end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.size) { return; }
  let at = i * $(1+3*VEC)u;
  let row = at / p.w % p.h;
  let first = at / (p.w * p.h) * p.rows * p.cols + row / $(S)u * p.cols;
  var v = T();
  if (row % $(S)u == p.a) {
//% for k in 0..1+3*VEC
    {
      let col = at % p.w + $(k)u;
//% if VEC
      if (col % $(S)u == p.b) { v[$(k)] = x[first + col / $(S)u]; }
//% else
      if (col % $(S)u == p.b) { v = x[first + col / $(S)u]; }
//% end
    }
//% end
  }
//% if ADD
  y[i] = v + before[i];
//% else
  y[i] = v;
//% end
}
