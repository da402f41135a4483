// The smallest step from a point of the box [0, 1]^D onto a hyperplane, without leaving the box (Croce and Hein 2020, "Minimally
// distorted adversarial examples with a fast adaptive boundary attack", equations 2 to 4): for each sample
//
//   min ‖δ‖  with  Σ w δ = -c  and  0 <= x + δ <= 1
//
// Both norms are solved by δ = -sign(c·w)·min(reach, room), room the distance to the box in that direction:
//   LINF: reach = t        L2: reach = t·|w|
// with the smallest t for which Σ |w|·min(reach, room) >= |c|. The sum rises with t, and the order of positive floats is that of their
// bits, so that 31 bisections of the bits of t find it to the last one. Where the box ends before the hyperplane, δ goes to its corner.
// One workgroup a sample, sums by a tree of fixed shape.
struct Params { size: u32, n: u32, most: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> step: array<f32>;

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

// |δ| of one element.
fn length(at: u32, slope: f32, t: f32) -> f32 {
  let room = select(1.0 - x[at], x[at], slope > 0.0);
//% if L2
  return min(t * abs(slope), room);
//% else
  return min(t, room);
//% end
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let sample = min(linear_group(group, groups), p.n - 1u);
  let base = sample * p.size;
  let side = select(-1.0, 1.0, c[sample] >= 0.0);
  let wanted = abs(c[sample]);
  var low = 0u;
  var high = bitcast<u32>(p.most);
  for (var round = 0u; round < 31u; round++) {
    let middle = low + (high - low) / 2u;
    var own = 0.0;
    for (var i = l; i < p.size; i += 64u) {
      let slope = side * w[base + i];
      own += abs(slope) * length(base + i, slope, bitcast<f32>(middle));
    }
    let enough = total(l, own) >= wanted;
    high = select(high, middle, enough);
    low = select(middle, low, enough);
  }
  for (var i = l; i < p.size; i += 64u) {
    let slope = side * w[base + i];
    step[base + i] = -sign(slope) * length(base + i, slope, bitcast<f32>(high));
  }
}
