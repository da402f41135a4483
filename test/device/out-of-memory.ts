/** What a GPU without memory tells its device, some time after a buffer was made. */
export function outOfMemory(): GPUUncapturedErrorEvent {
  return new GPUUncapturedErrorEvent('uncapturederror', { error: new GPUOutOfMemoryError('no room') });
}
