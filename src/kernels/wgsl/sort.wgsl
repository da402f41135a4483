// Bitonic sort of indices by (key, index), one invocation a comparison. Indices past `size` are padding and sort last.
struct Params { size: u32, size2: u32, width: u32, step: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read_write> order: array<u32>;

// Whether index a comes after index b.
fn after(a: u32, b: u32) -> bool {
  if (a >= p.size || b >= p.size) { return a > b; }
  let ka = keys[a];
  let kb = keys[b];
  return ka > kb || (ka == kb && a > b);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
//% if STAGE == 0
  if (i < p.size2) { order[i] = i; }
//% else
  if (i >= p.size2 / 2u) { return; }
  let low = (i / p.step) * p.step * 2u + i % p.step;
  let high = low + p.step;
  let rising = (low & p.width) == 0u;
  let a = order[low];
  let b = order[high];
  if (after(a, b) == rising) {
    order[low] = b;
    order[high] = a;
  }
//% end
}
