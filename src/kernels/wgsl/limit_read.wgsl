// Reads a buffer once, coalesced: every invocation sums the vec4s that lie `stride` (all invocations) apart, LOADS of them in flight.
struct Params { size: u32, stride: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  //% for j in 0..LOADS
  var sum$(j) = vec4f(0.0);
  //% end
  var i = gid.x;
  for (; i + $(LOADS-1)u * p.stride < p.size; i += $(LOADS)u * p.stride) {
    //% for j in 0..LOADS
    sum$(j) += x[i + $(j)u * p.stride];
    //% end
  }
  for (; i < p.size; i += p.stride) { sum0 += x[i]; }
  var sum = vec4f(0.0);
  //% for j in 0..LOADS
  sum += sum$(j);
  //% end
  y[gid.x] = dot(sum, vec4f(1.0));
}
