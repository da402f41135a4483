// A batch from a data set that lies on the device as bytes, augmented per sample:
//
//   y[n, c, i, j] = data[s, c, i', j'] / 255,   s = order[first[0] + n]
//
// with (i', j') = (i, j) moved by the sample's crop (zero outside), mirrored by its flip and rotated by its angle about the centre (nearest
// neighbour). The random words of sample n are Philox block n of the draw: crop row, crop column, flip, angle.
// One invocation an element of y. Labels are copied beside it.
struct Params {
  n: u32, c: u32, h: u32, w: u32,
  crop: u32, flip: u32, degrees: f32, classes: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> data: array<u32>;
@group(0) @binding(2) var<storage, read> all_labels: array<i32>;
@group(0) @binding(3) var<storage, read> order: array<u32>;
@group(0) @binding(4) var<storage, read> first: array<u32>;
@group(0) @binding(5) var<storage, read> words: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read_write> labels: array<i32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let k = linear_index(gid, groups, 64u);
  let plane = p.h * p.w;
  if (k >= p.n * p.c * plane) { return; }
  let n = k / (p.c * plane);
  let c = (k / plane) % p.c;
  var i = i32((k / p.w) % p.h);
  var j = i32(k % p.w);
  let sample = order[first[0] + n];
//% if AUGMENT
  if (p.degrees > 0.0) {
    let angle = (f32(words[4u * n + 3u] >> 8u) / 16777216.0 * 2.0 - 1.0) * p.degrees * 0.017453292519943295;
    let dy = f32(i) - 0.5 * f32(p.h - 1u);
    let dx = f32(j) - 0.5 * f32(p.w - 1u);
    i = i32(round(0.5 * f32(p.h - 1u) + cos(angle) * dy - sin(angle) * dx));
    j = i32(round(0.5 * f32(p.w - 1u) + sin(angle) * dy + cos(angle) * dx));
  }
  var inside = i >= 0 && i < i32(p.h) && j >= 0 && j < i32(p.w);
  if (p.flip != 0u && (words[4u * n + 2u] & 1u) == 1u) { j = i32(p.w) - 1 - j; }
  if (p.crop > 0u) {
    let range = 2u * p.crop + 1u;
    i += i32(words[4u * n] % range) - i32(p.crop);
    j += i32(words[4u * n + 1u] % range) - i32(p.crop);
  }
  inside = inside && i >= 0 && i < i32(p.h) && j >= 0 && j < i32(p.w);
//% else
  let inside = true;
//% end
  let at = select(0u, (sample * p.c + c) * plane + u32(i) * p.w + u32(j), inside);
  let byte = (data[at >> 2u] >> (8u * (at & 3u))) & 255u;
  y[k] = select(0.0, f32(byte) / 255.0, inside);
  if (c == 0u && k % plane == 0u) { labels[n] = all_labels[sample]; }
}
