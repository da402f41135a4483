// y[o] = scale · ⊕_r f(x[o, r]),  ⊕ one of sum, max, min; or the index r of the extreme value (ARG, ties: the lowest r).
//
// Kept and reduced dimensions are given separately with their strides in x, each at most 4 after merging.
// GROUP = 0: one invocation an output, in index order. GROUP = 64: one workgroup an output; invocation l adds r = l, l+64, ... and a
// tree of fixed shape joins the 64 sums, so that a result is the same in every run.
struct Params {
  size: u32, count: u32, scale: f32, lowest: f32,
  dims: vec4u, strides: vec4u,
  rdims: vec4u, rstrides: vec4u,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
//% if ARG
@group(0) @binding(2) var<storage, read_write> y: array<i32>;
//% else
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
//% end

fn offset(index: u32, dims: vec4u, strides: vec4u) -> u32 {
  var rest = index;
  var at = 0u;
  for (var d = 3; d >= 0; d--) {
    at += (rest % dims[d]) * strides[d];
    rest /= dims[d];
  }
  return at;
}

fn f(a: f32) -> f32 { return $(MAP); }

//% if ARG
fn better(a: f32, i: u32, b: f32, j: u32) -> bool { return a $(COMPARE) b || (a == b && i < j); }
//% else
fn join(a: f32, b: f32) -> f32 { return $(JOIN); }
//% end

//% if GROUP
var<workgroup> values: array<f32, $(GROUP)>;
//% if ARG
var<workgroup> indices: array<u32, $(GROUP)>;
//% end

@compute @workgroup_size($(GROUP))
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let o = linear_group(group, groups);
  let base = offset(min(o, p.size - 1u), p.dims, p.strides);
  var best = p.lowest;
  var at = 0xffffffffu;
  for (var r = l; r < p.count; r += $(GROUP)u) {
    let v = f(x[base + offset(r, p.rdims, p.rstrides)]);
//% if ARG
    if (better(v, r, best, at)) { best = v; at = r; }
//% else
    best = join(best, v);
//% end
  }
  values[l] = best;
//% if ARG
  indices[l] = at;
//% end
  for (var half = $(GROUP/2)u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (l < half) {
//% if ARG
      if (better(values[l + half], indices[l + half], values[l], indices[l])) {
        values[l] = values[l + half];
        indices[l] = indices[l + half];
      }
//% else
      values[l] = join(values[l], values[l + half]);
//% end
    }
  }
  if (l == 0u && o < p.size) {
//% if ARG
    y[o] = i32(indices[0]);
//% else
    y[o] = values[0] * p.scale;
//% end
  }
}
//% else
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let o = linear_index(gid, groups, 64u);
  if (o >= p.size) { return; }
  let base = offset(o, p.dims, p.strides);
  var best = p.lowest;
  var at = 0xffffffffu;
  for (var r = 0u; r < p.count; r++) {
    let v = f(x[base + offset(r, p.rdims, p.rstrides)]);
//% if ARG
    if (better(v, r, best, at)) { best = v; at = r; }
//% else
    best = join(best, v);
//% end
  }
//% if ARG
  y[o] = i32(at);
//% else
  y[o] = best * p.scale;
//% end
}
//% end
