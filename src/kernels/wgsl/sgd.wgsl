// One optimiser step of one parameter, in place (PyTorch's SGD, dampening 0):
//
//   g += wd·w;   v = mu·v + g;   w -= lr·v     (NESTEROV: w -= lr·(g + mu·v))
//
// MASKED: where mask = 0, w and v become exactly 0. lr = hyper[0], so that a captured step follows a schedule. vec4 throughout.
struct Params { size: u32, momentum: f32, decay: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> hyper: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> w: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> v: array<vec4f>;
//% if MASKED
@group(0) @binding(5) var<storage, read> mask: array<vec4f>;
//% end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i * 4u >= p.size) { return; }
  let g = grad[i] + p.decay * w[i];
  var velocity = p.momentum * v[i] + g;
//% if NESTEROV
  var value = w[i] - hyper[0] * (g + p.momentum * velocity);
//% else
  var value = w[i] - hyper[0] * velocity;
//% end
//% if MASKED
  let off = mask[i] == vec4f();
  velocity = select(velocity, vec4f(), off);
  value = select(value, vec4f(), off);
//% end
  v[i] = velocity;
  w[i] = value;
}
