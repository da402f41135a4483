// One step of a gradient attack, in place of a chain of elementwise kernels (PGD of Madry et al. 2018). Its state is the perturbation d:
//
//   LINF:  d' = d + alpha·sign(g), clipped to [-eps, eps] and then to the box
//   L2:    d' = d + alpha·g/max(‖g‖, 1e-6), clipped to the box, then scaled by min(eps/‖d'‖, 1); with BALL_FIRST scaled, then clipped
//   adv = x + d'
//
// with sign(0) = 0. Clipping to the box is d' = clamp(d', -x, 1 - x): x + d' is rounded only once, in adv, however many steps there are.
// Linf: one invocation a vec4. L2: one workgroup a sample, norms by a tree of fixed shape.
struct Params { size: u32, n: u32, alpha: f32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
//% if L2
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> d: array<f32>;
@group(0) @binding(3) var<storage, read> g: array<f32>;
@group(0) @binding(4) var<storage, read_write> next: array<f32>;
@group(0) @binding(5) var<storage, read_write> adv: array<f32>;

var<workgroup> sums: array<f32, 64>;

fn total(l: u32, own: f32) -> f32 {
  workgroupBarrier();
  sums[l] = own;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (l < half) { sums[l] += sums[l + half]; }
  }
  workgroupBarrier();
  return sums[0];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let sample = min(linear_group(group, groups), p.n - 1u);
  let base = sample * p.size;
  var own = 0.0;
  for (var i = l; i < p.size; i += 64u) { own += g[base + i] * g[base + i]; }
  let step = p.alpha / max(sqrt(total(l, own)), 1e-6);
  own = 0.0;
  for (var i = l; i < p.size; i += 64u) {
    let at = base + i;
//% if BALL_FIRST
    let moved = d[at] + step * g[at];
//% else
    let moved = clamp(d[at] + step * g[at], -x[at], 1.0 - x[at]);
//% end
    own += moved * moved;
  }
  let norm = sqrt(total(l, own));
  let scale = min(p.eps / max(norm, 1e-12), 1.0);
  for (var i = l; i < p.size; i += 64u) {
    let at = base + i;
//% if BALL_FIRST
    let moved = clamp((d[at] + step * g[at]) * scale, -x[at], 1.0 - x[at]);
//% else
    let moved = clamp(d[at] + step * g[at], -x[at], 1.0 - x[at]) * scale;
//% end
    next[at] = moved;
    adv[at] = x[at] + moved;
  }
}
//% else
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> d: array<vec4f>;
@group(0) @binding(3) var<storage, read> g: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> next: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> adv: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i * 4u >= p.size) { return; }
  let moved = clamp(clamp(d[i] + p.alpha * sign(g[i]), vec4f(-p.eps), vec4f(p.eps)), -x[i], 1.0 - x[i]);
  next[i] = moved;
  adv[i] = x[i] + moved;
}
//% end
