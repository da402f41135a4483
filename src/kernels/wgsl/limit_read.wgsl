// Reads a buffer once, coalesced: every invocation sums the vec4s that lie `stride` (all invocations) apart, four loads in flight.
struct Params { size: u32, stride: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  var sum0 = vec4f(0.0);
  var sum1 = vec4f(0.0);
  var sum2 = vec4f(0.0);
  var sum3 = vec4f(0.0);
  var i = gid.x;
  for (; i + 3u * p.stride < p.size; i += 4u * p.stride) {
    sum0 += x[i];
    sum1 += x[i + p.stride];
    sum2 += x[i + 2u * p.stride];
    sum3 += x[i + 3u * p.stride];
  }
  for (; i < p.size; i += p.stride) { sum0 += x[i]; }
  y[gid.x] = dot((sum0 + sum1) + (sum2 + sum3), vec4f(1.0));
}
