// Reads workgroup memory: eight vec4s a turn, neighbouring invocations at neighbouring addresses. What is read is summed and stored.
struct Params { loops: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

var<workgroup> tile: array<vec4f, 256>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(local_invocation_index) lane: u32) {
  tile[lane] = f32(lane) / 256.0 + vec4f(0.0, 1.0, 2.0, 3.0);
  workgroupBarrier();
  //% for j in 0..8
  var sum$(j) = vec4f(0.0);
  //% end
  for (var k = 0u; k < p.loops; k++) {
    //% for j in 0..8
    sum$(j) += tile[(lane + k + $(j)u * 32u) % 256u];
    //% end
  }
  var sum = vec4f(0.0);
  //% for j in 0..8
  sum += sum$(j);
  //% end
  y[gid.x] = dot(sum, vec4f(1.0));
}
