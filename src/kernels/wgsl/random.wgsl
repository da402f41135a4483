// Random numbers from Philox 4x32-10 (Salmon et al. 2011; see src/tensor/philox.ts for the convention of keys and counters).
//
// One invocation a block of four: words (u32), UNIFORM in [lo, hi) = lo + (word >> 8)/2^24·(hi - lo), NORMAL by Box-Muller from the pairs
// (word 0, word 1) and (word 2, word 3). The third counter word is c2 + step[0]: a replayed step draws anew by raising `step`.
struct Params { size: u32, k0: u32, k1: u32, c1: u32, c2: u32, c3: u32, lo: f32, hi: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
//% if KIND == 0
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
//% else
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
//% end

// High and low 32 bits of a product.
fn mul_wide(a: u32, b: u32) -> vec2u {
  let al = a & 0xffffu;
  let ah = a >> 16u;
  let bl = b & 0xffffu;
  let bh = b >> 16u;
  let mid = ah * bl + ((al * bl) >> 16u);
  let low = al * bh + (mid & 0xffffu);
  return vec2u(ah * bh + (mid >> 16u) + (low >> 16u), a * b);
}

fn philox(counter: vec4u, key: vec2u) -> vec4u {
  var c = counter;
  var k = key;
  for (var round = 0; round < 10; round++) {
    let a = mul_wide(0xd2511f53u, c.x);
    let b = mul_wide(0xcd9e8d57u, c.z);
    c = vec4u(b.x ^ c.y ^ k.x, b.y, a.x ^ c.w ^ k.y, a.y);
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

fn unit(word: u32) -> f32 { return f32(word >> 8u) * (1.0 / 16777216.0); }

// Two independent N(0, 1). The radius takes 1 - u, in (0, 1].
fn normal_pair(a: u32, b: u32) -> vec2f {
  let r = sqrt(-2.0 * log(1.0 - unit(a)));
  let angle = 6.283185307179586 * unit(b);
  return r * vec2f(cos(angle), sin(angle));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let block = linear_index(gid, groups, 64u);
  let i = block * 4u;
  if (i >= p.size) { return; }
  let words = philox(vec4u(block, p.c1, p.c2 + step[0], p.c3), vec2u(p.k0, p.k1));
//% if KIND == 0
  let v = words;
//% end
//% if KIND == 1
  let v = vec4f(unit(words.x), unit(words.y), unit(words.z), unit(words.w)) * (p.hi - p.lo) + vec4f(p.lo);
//% end
//% if KIND == 2
  let v = vec4f(normal_pair(words.x, words.y), normal_pair(words.z, words.w)) * p.hi + vec4f(p.lo);
//% end
//% for j in 0..4
  if (i + $(j)u < p.size) { y[i + $(j)u] = v[$(j)]; }
//% end
}
