// Pooling over windows of [PLANES, H, W], one invocation an output element.
//
//   MAX:       y = max over the window, at = its position in the plane (ties: the first in row-major order)
//   MAX_BACK:  gx[i] = Σ g[o] over the windows o whose `at` is i
//   AVG:       y = Σ over the window / divisor;   AVG_BACK: gx[i] = Σ g[o] / divisor_o over the windows o that hold i
//
// A window of output o is rows [start(o), end(o)). Plain pooling: start = S·o - P, end = start + K, the divisor is K·K with padding counted
// (COUNT_PAD) or the elements inside. Adaptive pooling (ADAPTIVE): start = floor(o·H/OH), end = ceil((o+1)·H/OH), divisor = elements; with one
// window for the plane (WHOLE) the gradient needs no search.
struct Params {
  size: u32, h: u32, w: u32, oh: u32, ow: u32,
  kh: u32, kw: u32, stride: u32, pad: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;  // the input, or g
//% if KIND == 0
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> at: array<i32>;
//% end
//% if KIND == 1
@group(0) @binding(2) var<storage, read> at: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
//% end
//% if KIND >= 2
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
//% end

// [start, end) of a window, clipped to the input.
fn window(o: u32, size: u32, outputs: u32, k: u32) -> vec2u {
//% if ADAPTIVE
  return vec2u(o * size / outputs, ((o + 1u) * size + outputs - 1u) / outputs);
//% else
  let start = i32(o * p.stride) - i32(p.pad);
  return vec2u(u32(max(start, 0)), u32(clamp(start + i32(k), 0, i32(size))));
//% end
}

// What a window's sum is divided by. PyTorch counts padding, but not what lies past the padded input.
fn divisor(oy: u32, ox: u32) -> f32 {
//% if COUNT_PAD
  let y0 = i32(oy * p.stride) - i32(p.pad);
  let x0 = i32(ox * p.stride) - i32(p.pad);
  return f32((min(y0 + i32(p.kh), i32(p.h + p.pad)) - y0) * (min(x0 + i32(p.kw), i32(p.w + p.pad)) - x0));
//% else
  let rows = window(oy, p.h, p.oh, p.kh);
  let cols = window(ox, p.w, p.ow, p.kw);
  return f32((rows.y - rows.x) * (cols.y - cols.x));
//% end
}

// The outputs [first, last) whose windows can hold input position i.
fn covering(i: u32, size: u32, outputs: u32, k: u32) -> vec2u {
//% if ADAPTIVE
  return vec2u(i * outputs / size, min(((i + 1u) * outputs + size - 1u) / size, outputs));
//% else
  let reach = i32(i + p.pad) - i32(k) + 1;
  let first = select(0u, (u32(max(reach, 0)) + p.stride - 1u) / p.stride, reach > 0);
  return vec2u(first, min((i + p.pad) / p.stride + 1u, outputs));
//% end
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.size) { return; }
//% if KIND == 0 || KIND == 2
  let ox = i % p.ow;
  let oy = (i / p.ow) % p.oh;
  let plane = (i / (p.ow * p.oh)) * p.h * p.w;
  let rows = window(oy, p.h, p.oh, p.kh);
  let cols = window(ox, p.w, p.ow, p.kw);
//% if KIND == 0
  var best = x[plane + rows.x * p.w + cols.x];
  var where_best = rows.x * p.w + cols.x;
  for (var r = rows.x; r < rows.y; r++) {
    for (var c = cols.x; c < cols.y; c++) {
      let v = x[plane + r * p.w + c];
      if (v > best || is_nan(v)) { best = v; where_best = r * p.w + c; }
    }
  }
  y[i] = best;
  at[i] = i32(where_best);
//% else
  var sum = 0.0;
  for (var r = rows.x; r < rows.y; r++) {
    for (var c = cols.x; c < cols.y; c++) { sum += x[plane + r * p.w + c]; }
  }
  y[i] = sum / divisor(oy, ox);
//% end
//% else
//% if WHOLE
  y[i] = x[i / (p.h * p.w)] / f32(p.h * p.w);
//% else
  let col = i % p.w;
  let row = (i / p.w) % p.h;
  let plane = (i / (p.w * p.h)) * p.oh * p.ow;
  let oys = covering(row, p.h, p.oh, p.kh);
  let oxs = covering(col, p.w, p.ow, p.kw);
  var sum = 0.0;
  for (var oy = oys.x; oy < oys.y; oy++) {
    for (var ox = oxs.x; ox < oxs.y; ox++) {
      let o = plane + oy * p.ow + ox;
//% if KIND == 1
      if (at[o] == i32(row * p.w + col)) { sum += x[o]; }
//% else
      sum += x[o] / divisor(oy, ox);
//% end
    }
  }
  y[i] = sum;
//% end
//% end
}
