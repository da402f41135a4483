// Shared by every kernel file.

// The index of an invocation in one-dimensional work whose workgroups are spread over x and y (see gridFor).
fn linear_index(gid: vec3u, groups: vec3u, workgroup: u32) -> u32 {
  return gid.x + gid.y * groups.x * workgroup;
}

// The index of a workgroup in such work.
fn linear_group(group: vec3u, groups: vec3u) -> u32 {
  return group.x + group.y * groups.x;
}

// NaN by its bits: a compiler may assume that NaN does not occur and remove x != x.
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}
