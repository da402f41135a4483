// Multiply-adds from registers and nothing else: CHAINS independent vec4 recurrences v <- a*v + b in each invocation, each REPEAT times a turn of
// the loop, for where the loop itself costs. Their sum is stored, so none can be dropped. FUSED asks for fma(); else the driver's compiler may
// contract a*v + b by itself.
struct Params { loops: u32, a: f32, b: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  let a = vec4f(p.a);
  let b = vec4f(p.b);
  let start = f32(gid.x % 64u) / 64.0 + vec4f(0.0, 1.0, 2.0, 3.0);
  //% for j in 0..CHAINS
  var v$(j) = start + $(j).0;
  //% end
  for (var k = 0u; k < p.loops; k++) {
    //% for i in 0..REPEAT
    //% for j in 0..CHAINS
    //% if FUSED
    v$(j) = fma(a, v$(j), b);
    //% else
    v$(j) = a * v$(j) + b;
    //% end
    //% end
    //% end
  }
  var sum = vec4f(0.0);
  //% for j in 0..CHAINS
  sum += v$(j);
  //% end
  y[gid.x] = dot(sum, vec4f(1.0));
}
