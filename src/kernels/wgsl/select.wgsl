// The k largest of n scores by radix selection, without sorting: exact, and ties go to the lowest index. Scores may lie in several buffers,
// whose elements count on from `first`: HISTOGRAM and MASK run once for each.
//
// Every element has a 64-bit key (high, low): high orders the scores as unsigned integers (0 where it is not eligible), low = ~index. Eight
// passes of 8 bits find the k-th largest key: HISTOGRAM counts the keys that agree with the bits found so far by their next 8 bits, and
// CHOOSE takes the digit in which the k-th lies. Counts are integers, so the result does not depend on the order of execution.
// A key is taken iff (high, low) >= (state.high, state.low); with k = 0 none is.
//
// state: high, low (the bits found), left (how many still to take among keys that agree), k
struct Params { n: u32, digit: u32, k: u32, rate: f32, first: u32 }
struct State { high: u32, low: u32, left: u32, k: u32 }
@group(0) @binding(0) var<uniform> p: Params;

//% if STAGE == 0
// START: k from the launch.
@group(0) @binding(1) var<storage, read_write> state: State;
@group(0) @binding(2) var<storage, read_write> histogram: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) l: u32) {
  if (l == 0u) { state = State(0u, 0u, p.k, p.k); }
  histogram[l] = 0u;
}
//% end

//% if STAGE == 1 || STAGE == 3
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read> eligible: array<f32>;
@group(0) @binding(3) var<storage, read> state: State;

// Unsigned integers in the order of the floats; never 0 for an eligible element (-0 counts as 0, NaN ranks first).
fn order(x: f32) -> u32 {
  if (is_nan(x)) { return 0xffffffffu; }
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) == 0u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn high_key(i: u32) -> u32 {
  let on = eligible[select(0u, i, p.rate != 0.0)] $(TEST);
  return select(0u, order($(MAP)), on);
}
//% end

//% if STAGE == 1
@group(0) @binding(4) var<storage, read_write> histogram: array<atomic<u32>>;
var<workgroup> counts: array<atomic<u32>, 256>;

// One workgroup counts 64 x 32 elements in workgroup memory, then adds its counts.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let start = linear_group(group, groups) * 2048u;
  for (var j = 0u; j < 32u; j++) {
    let i = start + j * 64u + l;
    if (i >= p.n) { continue; }
    let high = high_key(i);
    let low = ~(p.first + i);
    // p.digit counts from the top: 0..3 are bytes of high, 4..7 of low
    let shift = 24u - 8u * (p.digit % 4u);
    let above = select(0u, 0xffffffffu << (shift + 8u), shift < 24u);
    var agrees = true;
    var byte = 0u;
    if (p.digit < 4u) {
      agrees = (high & above) == (state.high & above);
      byte = (high >> shift) & 255u;
    } else {
      agrees = high == state.high && (low & above) == (state.low & above);
      byte = (low >> shift) & 255u;
    }
    if (agrees) { atomicAdd(&counts[byte], 1u); }
  }
  workgroupBarrier();
  for (var j = l; j < 256u; j += 64u) {
    let c = atomicLoad(&counts[j]);
    if (c > 0u) { atomicAdd(&histogram[j], c); }
  }
}
//% end

//% if STAGE == 2
// CHOOSE: the digit that holds the k-th largest; clears the histogram for the next pass.
@group(0) @binding(1) var<storage, read_write> state: State;
@group(0) @binding(2) var<storage, read_write> histogram: array<u32>;

@compute @workgroup_size(1)
fn main() {
  var left = state.left;
  var digit = 255u;
  if (state.k == 0u) {
    state.high = 0xffffffffu;
    state.low = 0xffffffffu;
  } else {
    while (digit > 0u && histogram[digit] < left) {
      left -= histogram[digit];
      digit -= 1u;
    }
    let shift = 24u - 8u * (p.digit % 4u);
    if (p.digit < 4u) { state.high |= digit << shift; } else { state.low |= digit << shift; }
    state.left = left;
  }
  for (var i = 0u; i < 256u; i++) { histogram[i] = 0u; }
}
//% end

//% if STAGE == 3
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// MASK: y = 1 where the key was taken, else 0.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = linear_index(gid, groups, 64u);
  if (i >= p.n) { return; }
  let high = high_key(i);
  let taken = high > state.high || (high == state.high && ~(p.first + i) >= state.low);
  y[i] = select(0.0, 1.0, taken && state.k > 0u && high > 0u);
}
//% end
