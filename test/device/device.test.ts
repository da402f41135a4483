/** The device: batching, errors as types, several devices, the end of the process. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type Device,
  DeviceLostError,
  gridFor,
  NoAdapterError,
  OutOfMemoryError,
  openDevice,
  type Program,
  uniform,
  ValidationError,
} from '../../src/device/index.ts';
import { add, elementwise, mul } from '../../src/tensor/elementwise.ts';
import { empty, ones, scope, tensor } from '../../src/tensor/tensor.ts';
import { testDevice } from '../engine.ts';
import { outOfMemory } from './out-of-memory.ts';

const device = await testDevice();

/** y[i] = x[i] + n, and variants of it that are wrong. */
const program = (label: string, body = 'y[id.x] = x[id.x] + p.n;'): Program => ({
  label,
  code: `struct Params { n: f32 }
    @group(0) @binding(0) var<uniform> p: Params;
    @group(0) @binding(1) var<storage, read> x: array<f32>;
    @group(0) @binding(2) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) { ${body} }`,
  entry: 'main',
  bindings: ['read', 'write'],
  uniform: true,
});

describe('gridFor', () => {
  it('covers all items with few idle workgroups, every dimension within 65 535', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(1, 64, 256), (items, size) => {
        fc.pre(items / size < 65535 ** 2);
        const [x, y, z] = gridFor(items, size);
        const groups = Math.ceil(items / size);
        expect(Math.max(x, y, z)).toBeLessThanOrEqual(65535);
        expect(x * y * z).toBeGreaterThanOrEqual(groups);
        expect(x * y * z - groups).toBeLessThan(Math.max(1, y));
      }),
    );
  });
});

describe('dispatch', () => {
  it('thousands between two readbacks: each keeps its own uniform block', async () => {
    const x = ones(device, [4]);
    const outputs = scope(device, () => Array.from({ length: 2500 }, (_, i) => elementwise('affine', [x], [i, i / 2])));
    const { submits } = device.stats;
    const all = await Promise.all(outputs.map(t => t.data()));
    expect(all.findIndex((v, i) => v[0] !== i * 1.5 || v[3] !== i * 1.5)).toBe(-1);
    expect(device.stats.submits - submits).toBeGreaterThanOrEqual(2500);
    for (const t of [x, ...outputs]) t.dispose();
  });

  it('many dispatches go into few submits', async () => {
    const x = ones(device, [4]);
    await device.sync();
    const before = device.stats;
    scope(device, () => {
      for (let i = 0; i < 1024; i++) add(x, i);
    });
    await device.sync();
    expect(device.stats.dispatches - before.dispatches).toBe(1024);
    expect(device.stats.submits - before.submits).toBeLessThanOrEqual(3);
    x.dispose();
  });

  it('a readback sees what was dispatched before it and nothing after', async () => {
    const x = tensor(device, [1]);
    const y = empty(device, [1]);
    const reads: Promise<number>[] = [];
    for (let i = 0; i < 5; i++) {
      device.dispatch(program('test add'), [x.storage, y.storage], uniform().float(i), [1, 1, 1]);
      reads.push(y.item());
    }
    expect(await Promise.all(reads)).toEqual([1, 2, 3, 4, 5]);
    expect(device.stats.readbacks).toBeGreaterThanOrEqual(5);
    for (const t of [x, y]) t.dispose();
  });

  it('an empty grid launches nothing', () => {
    const x = ones(device, [1]);
    const y = empty(device, [1]);
    const before = device.stats.dispatches;
    device.dispatch(program('test add'), [x.storage, y.storage], uniform().float(1), [0, 1, 1]);
    expect(device.stats.dispatches).toBe(before);
    for (const t of [x, y]) t.dispose();
  });

  it('constants are made once, and not into memory that waiting commands still read', async () => {
    const a = tensor(device, [1, 2]);
    const b = add(a, 1);
    const sum = add(a, b);
    b.dispose(); // its buffer is idle now, and the addition has not run
    const constant = device.constant(new Uint32Array([77, 78]));
    expect(device.constant(new Uint32Array([77, 78]))).toBe(constant);
    expect([...(await sum.data())]).toEqual([3, 5]);
    expect([...new Uint32Array(await device.read(constant, 8))]).toEqual([77, 78]);
    for (const t of [a, sum]) t.dispose();
  });
});

describe('errors', () => {
  const expectKernel = async (work: Promise<unknown>, label: string) => {
    const error = await work.then(
      () => undefined,
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(ValidationError);
    expect((error as ValidationError).kernel).toBe(label);
    expect((error as Error).message).toContain(label);
  };
  const launch = (p: Program, on: Device = device) => {
    const [x, y] = [ones(on, [4]), empty(on, [4])];
    on.dispatch(p, [x.storage, y.storage], uniform().float(1), [1, 1, 1]);
    x.dispose();
    y.dispose();
  };

  it('a kernel that does not compile surfaces at the next await with its label, once', async () => {
    launch(program('test broken', 'y[id.x] = nonsense;'));
    await expectKernel(device.sync(), 'test broken');
    await device.sync();
    const x = tensor(device, [3]);
    expect(await x.item()).toBe(3);
    x.dispose();
  });

  it('so it does when compiled ahead', async () => {
    const broken = program('test broken ahead', 'y[id.x] = 1u;');
    await expectKernel(device.compile([broken]), 'test broken ahead');
    await expect(device.compile([broken])).rejects.toThrow("cannot assign 'u32' to 'f32'");
    await device.sync();
  });

  it('programs are compiled once, however often they are asked for', async () => {
    const before = device.stats.pipelines;
    const wanted = [program('test once'), program('test once'), program('test twice')];
    await Promise.all([device.compile(wanted), device.compile(wanted)]);
    launch(wanted[0]);
    await device.sync();
    expect(device.stats.pipelines - before).toBe(2);
  });

  it('a kernel with another binding than declared', async () => {
    launch({ ...program('test bindings'), bindings: ['write', 'write'] });
    await expectKernel(device.sync(), 'test bindings');
  });

  it('one buffer as two arguments of which one is written', () => {
    const x = ones(device, [4]);
    const alias = () => device.dispatch(program('test alias'), [x.storage, x.storage], uniform().float(1), [1, 1, 1]);
    expect(alias).toThrow(ValidationError);
    expect(alias).toThrow('test alias: arguments 1 and 0 are one buffer, and it is written');
    x.dispose();
  });

  it('too few buffers, and a grid above the limit', () => {
    const [x, y] = [ones(device, [4]), empty(device, [4])];
    const params = uniform().float(1);
    expect(() => device.dispatch(program('test few'), [x.storage], params, [1, 1, 1])).toThrow('2 buffers wanted, 1 given');
    expect(() => device.dispatch(program('test grid'), [x.storage, y.storage], params, [1, 70_000, 1])).toThrow(
      'test grid: a grid of [1,70000,1] workgroups exceeds 65535',
    );
    for (const t of [x, y]) t.dispose();
  });

  it('a tensor above the adapter’s limit is out of memory', () => {
    const elements = Math.floor(device.limits.maxStorageBufferBindingSize / 4) + 1;
    expect(() => empty(device, [elements])).toThrow(OutOfMemoryError);
  });

  it('a buffer for which there was no memory is not handed out again', async () => {
    const size = 12_345 * 4;
    await device.sync();
    const lost = device.allocate(size);
    device.gpu.dispatchEvent(outOfMemory());
    await expect(device.sync()).rejects.toThrow(OutOfMemoryError);
    lost.release();
    const other = device.allocate(size);
    expect(other.buffer).not.toBe(lost.buffer);
    await device.sync();
    other.release();
    const again = device.allocate(size);
    expect(again.buffer).toBe(other.buffer);
    again.release();
  });

  it('an unknown adapter names the known ones', async () => {
    const error = openDevice({ adapter: 'vulcan' as 'gpu' });
    await expect(error).rejects.toThrow(NoAdapterError);
    await expect(error).rejects.toThrow('auto, gpu, lavapipe, swiftshader');
  });
});

describe('several devices', () => {
  const opened: Device[] = [];
  const open = async () => {
    const d = await openDevice();
    opened.push(d);
    return d;
  };
  afterEach(() => {
    for (const d of opened.splice(0)) d.close();
  });

  it('work side by side in one process, and one’s end does not touch the other', async () => {
    const [a, b] = [await open(), await open()];
    const [x, y] = [tensor(a, [1, 2]), tensor(b, [10, 20])];
    expect([...(await add(x, 1).data()), ...(await mul(y, 2).data())]).toEqual([2, 3, 20, 40]);
    a.close();
    expect([...(await add(y, 1).data())]).toEqual([11, 21]);
  });

  it('a closed device refuses work and readbacks as lost', async () => {
    const a = await open();
    const x = tensor(a, [1, 2]);
    a.close();
    a.close();
    expect(() => add(x, 1)).toThrow(DeviceLostError);
    await expect(x.data()).rejects.toThrow(DeviceLostError);
    await expect(a.sync()).rejects.toThrow(DeviceLostError);
  });

  it('a readback under way when the device closes is rejected, not forgotten', async () => {
    const a = await open();
    const reading = tensor(a, [1, 2]).data();
    a.close();
    await expect(reading).rejects.toThrow(DeviceLostError);
  });

  it('a loss is not forgotten because of an error before it', async () => {
    const a = await open();
    a.gpu.createBuffer({ size: 4, usage: 0 });
    await a.gpu.queue.onSubmittedWorkDone();
    a.gpu.destroy();
    await a.gpu.lost;
    await expect(a.sync()).rejects.toThrow('the device was lost');
    await expect(a.sync()).rejects.toThrow(DeviceLostError);
  });

  it('a device that is lost says so at every await from then on', async () => {
    const a = await open();
    const x = tensor(a, [1, 2]);
    await a.sync();
    a.gpu.destroy(); // the driver takes it away
    await expect(x.data()).rejects.toThrow(DeviceLostError);
    await expect(a.sync()).rejects.toThrow('the device was lost');
    await expect(a.sync()).rejects.toThrow('the device was lost');
  });
});

describe('profiler', () => {
  // 600: more than one command buffer holds
  it.runIf(device.profiler.available)('counts and times kernels by name', async () => {
    const x = ones(device, [10_000]);
    await device.sync();
    device.profiler.start();
    scope(device, () => {
      for (let i = 0; i < 600; i++) mul(x, 2);
    });
    await device.sync();
    device.profiler.stop();
    const [entry] = device.profiler.report();
    expect(entry.label).toContain('mulScalar');
    expect(entry.count).toBe(600);
    expect(entry.total).toBeGreaterThan(0);
    x.dispose();
  });
});

describe('the process', () => {
  it('ends by itself once the device is closed', () => {
    const code = `
      const { openDevice } = await import('./src/device/index.ts');
      const { add } = await import('./src/tensor/elementwise.ts');
      const { tensor } = await import('./src/tensor/tensor.ts');
      const device = await openDevice();
      console.log('sum', await add(tensor(device, [1]), tensor(device, [2])).item());
      device.close();`;
    const root = fileURLToPath(new URL('../..', import.meta.url));
    const done = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      cwd: root,
      encoding: 'utf8',
      timeout: 60_000,
    });
    expect(done.stdout).toContain('sum 3');
    expect([done.status, done.signal]).toEqual([0, null]);
  });
});
