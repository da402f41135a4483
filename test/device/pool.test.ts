/** Buffers by size class: reuse, counting, child pools. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OutOfMemoryError } from '../../src/device/index.ts';
import { BufferPool, sizeClass } from '../../src/device/pool.ts';
import { testDevice } from '../engine.ts';

const device = await testDevice();

describe('sizeClass', () => {
  it('holds what was asked for, wastes at most a quarter, is a multiple of 64, and few', () => {
    fc.assert(
      fc.property(fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 2 ** 32 })), bytes => {
        const size = sizeClass(bytes);
        expect(size).toBeGreaterThanOrEqual(bytes);
        expect(size % 64).toBe(0);
        if (bytes > 256) expect(size).toBeLessThanOrEqual(bytes * 1.25 + 64);
        expect(sizeClass(size)).toBe(size);
      }),
    );
    const classes = new Set(Array.from({ length: 2 ** 16 }, (_, i) => sizeClass(i + 1)));
    expect(classes.size).toBeLessThanOrEqual(1 + 4 * 8);
  });
});

describe('BufferPool', () => {
  it('hands a freed buffer to the next request of its class, and to no other', () => {
    const pool = new BufferPool(device.gpu);
    const a = pool.acquire(1000);
    a.release();
    const b = pool.acquire(900); // the class of 1000 bytes holds 1024
    expect(b.buffer).toBe(a.buffer);
    const c = pool.acquire(900);
    const d = pool.acquire(2000);
    expect(new Set([b.id, c.id, d.id]).size).toBe(3);
    expect(pool.stats).toMatchObject({ buffersMade: 3, live: b.bytes + c.bytes + d.bytes, pooled: 0 });
    for (const s of [b, c, d]) s.release();
    expect(pool.stats).toMatchObject({ live: 0, pooled: b.bytes + c.bytes + d.bytes, peak: b.bytes + c.bytes + d.bytes });
    pool.drain();
    expect(pool.stats.pooled).toBe(0);
  });

  it('counts owners, and refuses to give back twice or to revive', () => {
    const pool = new BufferPool(device.gpu);
    const s = pool.acquire(4).retain();
    s.release();
    expect(s.freed).toBe(false);
    s.release();
    expect(s.freed).toBe(true);
    expect(() => s.release()).toThrow('given back twice');
    expect(() => s.retain()).toThrow('used after it was given back');
    pool.drain();
  });

  it('a child takes from its parent, keeps what it was given, and returns all at its end', () => {
    const parent = new BufferPool(device.gpu);
    const first = parent.acquire(4096);
    first.release();
    const child = parent.child();
    const inner = child.acquire(4096);
    expect(inner.buffer).toBe(first.buffer);
    inner.release();
    const outer = parent.acquire(4096); // what the child holds is not the parent's to give
    expect(outer.buffer).not.toBe(first.buffer);
    const late = child.acquire(4096);
    child.drain();
    late.release(); // after the child's end it goes to the parent
    const again = parent.acquire(4096);
    expect(again.buffer).toBe(first.buffer);
    expect(parent.stats).toMatchObject({ buffersMade: 2, pooled: 0, live: outer.bytes + again.bytes });
    for (const s of [outer, again]) s.release();
    parent.drain();
  });

  it('refuses more than the adapter binds, saying how much it would be', () => {
    const limit = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
    const pool = new BufferPool(device.gpu);
    expect(() => pool.acquire(limit + 4)).toThrow(OutOfMemoryError);
    expect(() => pool.acquire(limit + 4)).toThrow(
      /MiB exceeds this adapter's limit of [\d.]+ MiB for one buffer; use a smaller batch/,
    );
    expect(pool.stats).toMatchObject({ live: 0, buffersMade: 0 });
  });
});
