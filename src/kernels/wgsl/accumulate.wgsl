// Running sums of a batch, on the device so that a step needs no readback:
//
//   acc[0] += Σ losses,  acc[1] += #(argmax of the row = label),  acc[2] += N,  acc[3] = the first step whose losses held a NaN, plus 1
//
// losses [N], logits [N, K], labels [N], step [1]. One workgroup; invocation l takes samples l, l+64, ... and a fixed tree joins the sums.
struct Params { n: u32, k: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> losses: array<f32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> labels: array<i32>;
@group(0) @binding(4) var<storage, read> step: array<u32>;
@group(0) @binding(5) var<storage, read_write> acc: array<f32>;

var<workgroup> sums: array<vec3f, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) l: u32) {
  var own = vec3f();
  for (var n = l; n < p.n; n += 64u) {
    var best = 0u;
    for (var k = 1u; k < p.k; k++) {
      if (logits[n * p.k + k] > logits[n * p.k + best]) { best = k; }
    }
    own += vec3f(losses[n], select(0.0, 1.0, i32(best) == labels[n]), select(0.0, 1.0, is_nan(losses[n])));
  }
  sums[l] = own;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (l < half) { sums[l] += sums[l + half]; }
  }
  if (l == 0u) {
    acc[0] += sums[0].x;
    acc[1] += sums[0].y;
    acc[2] += f32(p.n);
    if (sums[0].z > 0.0 && acc[3] == 0.0) { acc[3] = f32(step[0] + 1u); }
  }
}
