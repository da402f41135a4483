/** The offline pack, made and run as on a machine that has no Node: a clean environment, a read-only folder, through links. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extract } from 'tar';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { version } from '../../package.json';
import { root } from '../../scripts/bundle.ts';
import { archive } from '../../scripts/pack/archive.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sparrow pack-'));
});
afterAll(() => {
  execFileSync('chmod', ['-R', 'u+w', folder]);
  rmSync(folder, { recursive: true });
});

describe.runIf(process.platform === 'linux' && process.arch === 'x64')('the pack', () => {
  const name = `sparrow-${version}-linux-x64`;
  const unpacked = () => join(folder, 'there', name);

  /** Runs a program with nothing in its environment but a plain PATH, in the root folder. */
  const run = (program: string, args: string[], env: Record<string, string> = {}) =>
    execFileSync(program, args, {
      cwd: '/',
      env: { PATH: '/usr/bin:/bin', ...env },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });

  beforeAll(async () => {
    const told = execFileSync(process.execPath, ['scripts/run.js', 'scripts/pack.ts', join(folder, 'here')], {
      cwd: root,
      encoding: 'utf8',
    });
    const [file, ...rest] = readdirSync(join(folder, 'here'));
    expect(rest).toEqual([]);
    expect(file).toMatch(new RegExp(`^${name}\\.tar\\.[gx]z$`));
    expect(told).toMatch(/ [\d.]+ MiB\n$/);
    mkdirSync(join(folder, 'there'));
    execFileSync('tar', ['xf', join(folder, 'here', file), '-C', join(folder, 'there')]);
    expect(statSync(join(folder, 'here', file)).size).toBeLessThanOrEqual(45 * 2 ** 20);
    execFileSync('chmod', ['-R', 'a-w', unpacked()]);
  });

  it('runs from any folder', () => expect(run(join(unpacked(), 'sparrow'), ['--version'])).toBe(`${version}\n`));

  it('runs through links, absolute and relative, and from the PATH', () => {
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    symlinkSync(join(unpacked(), 'sparrow'), join(bin, 'absolute'));
    symlinkSync(`../there/${name}/sparrow`, join(bin, 'relative'));
    symlinkSync('relative', join(bin, 'twice'));
    for (const link of ['absolute', 'relative', 'twice']) expect(run(join(bin, link), ['--version'])).toBe(`${version}\n`);
    expect(run('sh', ['-c', 'twice --version'], { PATH: `/usr/bin:/bin:${bin}`, CDPATH: '/usr:/tmp' })).toBe(`${version}\n`);
  });

  it('brings a driver of its own', () => {
    const { adapters } = JSON.parse(run(join(unpacked(), 'sparrow'), ['adapters', '--json'], { XDG_DATA_DIRS: '/nowhere' }));
    expect(adapters.map((a: { kind: string; usable: boolean }) => a.kind)).toEqual(['gpu', 'lavapipe', 'swiftshader']);
    expect(adapters[2]).toMatchObject({ usable: true, description: expect.stringContaining('SwiftShader') });
  });

  it('has a licence for each part that others made', () => {
    for (const file of ['node.txt', 'dawn.txt', 'vulkan-loader-and-swiftshader.txt', 'bundled-packages.txt']) {
      expect(readFileSync(join(unpacked(), 'licences', file), 'utf8').length, file).toBeGreaterThan(500);
    }
  });

  it('passes exit codes and errors on', () => {
    expect(() => run(join(unpacked(), 'sparrow'), ['trian'])).toThrow(expect.objectContaining({ status: 2, stdout: '' }));
  });
});

describe('an archive', () => {
  it('is made with xz where gzip would be too large, or not at all', async () => {
    const part = join(folder, 'archive/part');
    mkdirSync(part, { recursive: true });
    // Repeats over more than gzip's window of 32 KiB, which xz sees.
    const block = Array.from({ length: 40_000 }, (_, i) => String.fromCharCode((Math.imul(i, 2654435761) >>> 13) & 127)).join('');
    writeFileSync(join(part, 'file'), block.repeat(4));
    chmodSync(join(part, 'file'), 0o755);
    const size = async (limit: number) => {
      const path = await archive(join(folder, 'archive'), 'part', limit);
      return { path, bytes: statSync(path).size };
    };
    const large = await size(1e6);
    expect(large.path).toMatch(/part\.tar\.gz$/);
    await extract({ file: large.path, cwd: folder });
    expect(readFileSync(join(folder, 'part/file'), 'utf8')).toBe(block.repeat(4));
    expect(statSync(join(folder, 'part/file')).mode & 0o777).toBe(0o755);
    rmSync(large.path);

    if (existsSync('/usr/bin/xz')) expect((await size(large.bytes - 1)).path).toMatch(/part\.tar\.xz$/);
    await expect(size(100)).rejects.toThrow('larger than 100 bytes');
    expect(readdirSync(join(folder, 'archive')).filter(file => /part$|\.xz$/.test(file) && file !== 'part')).toEqual(
      existsSync('/usr/bin/xz') ? ['part.tar.xz'] : [],
    );
  });
});
