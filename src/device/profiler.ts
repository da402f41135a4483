/** GPU time per kernel from timestamp queries: off until `start`, then one compute pass a dispatch. */

const SLOTS = 1024; // dispatches between two resolves: more than a command buffer holds

export interface KernelTime {
  label: string;
  count: number;
  /** Milliseconds in total. */
  total: number;
}

export class Profiler {
  enabled = false;
  private readonly device: GPUDevice;
  private querySet: GPUQuerySet | undefined;
  private labels: string[] = [];
  private readonly times = new Map<string, KernelTime>();
  private waiting: { resolved: GPUBuffer; buffer: GPUBuffer; labels: string[] }[] = [];

  constructor(device: GPUDevice) {
    this.device = device;
  }

  /** Whether this adapter has timestamps. */
  get available(): boolean {
    return this.device.features.has('timestamp-query');
  }

  start(): void {
    if (!this.available) return;
    this.querySet ??= this.device.createQuerySet({ type: 'timestamp', count: 2 * SLOTS });
    this.times.clear();
    this.enabled = true;
  }

  stop(): void {
    this.enabled = false;
  }

  passDescriptor(label: string): GPUComputePassDescriptor {
    const i = this.labels.push(label) - 1;
    return {
      label,
      timestampWrites: { querySet: this.querySet!, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
    };
  }

  /** Copies the timestamps of the command buffer that is about to be submitted. */
  resolve(encoder: GPUCommandEncoder): void {
    if (this.labels.length === 0) return;
    const size = this.labels.length * 16;
    const resolved = this.device.createBuffer({ size, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
    const buffer = this.device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    encoder.resolveQuerySet(this.querySet!, 0, 2 * this.labels.length, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, buffer, 0, size);
    this.waiting.push({ resolved, buffer, labels: this.labels });
    this.labels = [];
  }

  /** Adds what has arrived to the totals. */
  async collect(): Promise<void> {
    const waiting = this.waiting;
    this.waiting = [];
    for (const { resolved, buffer, labels } of waiting) {
      await buffer.mapAsync(GPUMapMode.READ);
      const stamps = new BigUint64Array(buffer.getMappedRange().slice(0));
      buffer.destroy();
      resolved.destroy();
      labels.forEach((label, i) => {
        const entry = this.times.get(label) ?? { label, count: 0, total: 0 };
        entry.count++;
        entry.total += Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6;
        this.times.set(label, entry);
      });
    }
  }

  /** Kernels by total time, largest first. */
  report(): KernelTime[] {
    return [...this.times.values()].sort((a, b) => b.total - a.total);
  }
}
