/**
 * Finding drivers and installing one, from the files and texts of systems that are not this one; and what looking for adapters prints.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { cacheFolder } from '../../src/device/platform/cache.ts';
import { driverFolders, driverLibrary, gpuDrivers, hasGpu, systemDrivers } from '../../src/device/platform/drivers.ts';
import { installLavapipe, type Machine, planInstallation } from '../../src/device/platform/lavapipe.ts';
import { pickAdapter } from '../../src/device/platform/node.ts';
import { describe as describeAdapter } from '../../src/device/platform/types.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const osRelease = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sparrow-adapters-'));
  vi.stubEnv('TMPDIR', folder);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

/** Writes a file below the test's folder; returns its path. */
function file(path: string, content = ''): string {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), content);
  return join(folder, path);
}
const description = (library: string) => JSON.stringify({ file_format_version: '1.0.0', ICD: { library_path: library } });

describe('a GPU device', () => {
  it.each([
    ['dri/renderD128', true],
    ['nvidia0', true],
    ['dxg', true],
    ['dri/card0', false],
    ['nvidiactl', false],
    ['nvidia-uvm', false],
    ['null', false],
  ])('%s: %s', (node, expected) => {
    const dev = join(folder, `dev-${node.replace('/', '-')}`);
    file(join(dev.slice(folder.length), node));
    expect(hasGpu(dev)).toBe(expected);
  });

  it('is not there where there is no folder of devices', () => expect(hasGpu(join(folder, 'nothing'))).toBe(false));
});

/** The index of what Dawn takes: the first adapter whose name contains the text. */
const taken = (names: string[], { name }: { name: string }) => names.findIndex(other => other.includes(name));

describe('one of several adapters', () => {
  it.each<[string[], string, number]>([
    [['H100', 'A100'], '1', 1],
    [['H100', 'A100'], 'A1', 1],
    [['RTX 3060', 'RTX 3060 Ti'], '0', 0],
    [['RTX 3060', 'RTX 3060 Ti'], '1', 1],
    [['RTX 3060', 'RTX 3060 Ti'], 'RTX', 0],
    [['H100', 'H100'], '0', 0],
    [['H100', 'H100'], 'H100', 0],
  ])('of %j by %j is %i', (names, wanted, index) => {
    const picked = pickAdapter(names, wanted);
    expect(picked).toEqual({ name: names[index] });
    expect(taken(names, picked as { name: string })).toBe(index);
  });

  it.each<[string[], string, string]>([
    [['H100', 'H100'], '1', "'1' is 1: H100, but Dawn selects by name only and would take 0: H100; make 1 the only one that"],
    [['RTX 3060 Ti', 'RTX 3060'], '1', "'1' is 1: RTX 3060, but Dawn selects by name only and would take 0: RTX 3060 Ti; make"],
    [['RTX 3060 Ti', 'RTX 3060'], 'RTX 3060', "'RTX 3060' is 1: RTX 3060, but Dawn"],
    [['H100', 'A100'], '2', "there is no '2', only 0: H100, 1: A100"],
    [['H100', 'A100'], 'Voodoo', "there is no 'Voodoo', only 0: H100, 1: A100"],
  ])('of %j by %j is refused in one line', (names, wanted, message) => {
    const picked = pickAdapter(names, wanted) as { refused: string };
    expect(picked).toEqual({ refused: expect.stringContaining(message) });
    expect(picked.refused).not.toContain('\n');
  });

  it('is the one that was asked for, or none', () => {
    const name = fc.constantFrom('RTX 3060', 'RTX 3060 Ti', 'H100', 'H100 PCIe', 'A');
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 4 }), fc.nat(4), (names, index) => {
        const picked = pickAdapter(names, String(index));
        if ('name' in picked) expect(taken(names, picked)).toBe(index);
      }),
    );
  });
});

describe('what computes on the processor', () => {
  const described = (info: Partial<GPUAdapterInfo>) =>
    describeAdapter('gpu', { info, features: new Set() } as unknown as GPUAdapter).processor;

  it.each<[boolean, Partial<GPUAdapterInfo>]>([
    [true, { architecture: 'swiftshader', description: 'SwiftShader Device' }],
    [true, { architecture: '', description: 'llvmpipe (LLVM 19.1.7, 256 bits)' }],
    [true, { architecture: 'warp', description: '' }],
    [true, { architecture: '', description: 'Microsoft Basic Render Driver' }],
    [true, { architecture: '', description: 'of another maker', isFallbackAdapter: true }],
    [false, { architecture: 'hopper', description: 'NVIDIA H100 80GB HBM3', isFallbackAdapter: false }],
    [false, { architecture: 'gen-12lp', description: 'Intel(R) UHD Graphics' }],
  ])('%s: %j', (processor, info) => expect(described(info)).toBe(processor));
});

describe('variables of the environment', () => {
  const names = ['SPARROW_CACHE', 'XDG_CACHE_HOME'];
  const before = names.map(name => process.env[name]);
  const put = (name: string, value: string | undefined) => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  const cacheWith = (env: Record<string, string>) => {
    for (const name of names) put(name, env[name]);
    try {
      return cacheFolder();
    } finally {
      for (const [i, name] of names.entries()) put(name, before[i]);
    }
  };

  it.each<[string, Record<string, string>, string]>([
    ['set', { SPARROW_CACHE: '/a', XDG_CACHE_HOME: '/b' }, '/a'],
    ['set for all programs', { SPARROW_CACHE: '', XDG_CACHE_HOME: '/b' }, '/b/sparrow'],
    ['empty', { SPARROW_CACHE: '', XDG_CACHE_HOME: '' }, join(homedir(), '.cache/sparrow')],
    ['relative', { SPARROW_CACHE: '', XDG_CACHE_HOME: 'cache' }, join(homedir(), '.cache/sparrow')],
  ])('name the cache: %s', (_, env, expected) => expect(cacheWith(env)).toBe(expected));

  /** The search path for a fictional user in Vulkan-Loader's docs/LoaderDriverInterface.md, and our own last one. */
  const usual = [
    '/home/me/.config',
    '/etc/xdg',
    '/usr/local/etc',
    '/etc',
    '/home/me/.local/share',
    '/usr/local/share',
    '/usr/share',
    '/usr/local/nvidia/share',
  ];
  it.each<[string, Record<string, string>, string[]]>([
    ['not set', {}, usual],
    ['empty', { XDG_CONFIG_HOME: '', XDG_CONFIG_DIRS: '', XDG_DATA_HOME: '', XDG_DATA_DIRS: '' }, usual],
    ['relative', { XDG_CONFIG_HOME: 'c', XDG_CONFIG_DIRS: 'd:e', XDG_DATA_HOME: 's', XDG_DATA_DIRS: '.' }, usual],
    [
      'set',
      { XDG_CONFIG_HOME: '/c', XDG_CONFIG_DIRS: '/d::/e', XDG_DATA_HOME: '/s', XDG_DATA_DIRS: 'x:/t/:/etc' },
      ['/c', '/d', '/e', '/usr/local/etc', '/etc', '/s', '/t', '/usr/local/nvidia/share'],
    ],
  ])("name the folders of drivers in the loader's order: %s", (_, env, expected) => {
    expect(driverFolders({ HOME: '/home/me', ...env })).toEqual(expected.map(path => `${path}/vulkan/icd.d`));
  });
});

describe('driver descriptions', () => {
  it('are those of the data folders, without other files', () => {
    const icd = file('share/vulkan/icd.d/a_icd.json', description('liba.so'));
    file('share/vulkan/icd.d/README');
    const found = systemDrivers({ XDG_DATA_DIRS: `${join(folder, 'missing')}:${join(folder, 'share')}` });
    expect(found).toContain(icd);
    expect(found.filter(path => !path.endsWith('.json'))).toEqual([]);
  });

  it('are those that the environment names, where they exist', () => {
    const icd = file('own.json', description('liba.so'));
    expect(systemDrivers({ VK_ICD_FILENAMES: `${icd}:/missing.json`, XDG_DATA_DIRS: join(folder, 'share') })).toEqual([icd]);
    expect(systemDrivers({ VK_DRIVER_FILES: icd, VK_ICD_FILENAMES: '/other.json' })).toEqual([icd]);
    expect(systemDrivers({ VK_DRIVER_FILES: '', VK_ICD_FILENAMES: icd })).toEqual([icd]);
  });

  it('name a library by its name, or by a path from their own folder', () => {
    expect(driverLibrary(file('icd/by-name.json', description('libGLX_nvidia.so.0')))).toBe('libGLX_nvidia.so.0');
    expect(driverLibrary(file('icd/by-path.json', description('../lib/liba.so')))).toBe(join(folder, 'lib/liba.so'));
    expect(driverLibrary(file('icd/torn.json', '{"ICD"'))).toBeUndefined();
    expect(driverLibrary(join(folder, 'none.json'))).toBeUndefined();
  });
});

describe("NVIDIA's driver", () => {
  const radeon = '/usr/share/vulkan/icd.d/radeon_icd.json';
  const libraryOf = (icd: string) => JSON.parse(readFileSync(icd, 'utf8')).ICD.library_path;

  it('is left alone where its library loads', () => {
    const icd = file('nvidia_icd.json', description('libGLX_nvidia.so.0'));
    expect(gpuDrivers([radeon, icd], library => library === 'libGLX_nvidia.so.0')).toEqual([radeon, icd]);
  });

  it('is described where only its library is there', () => {
    const [first, second, ...rest] = gpuDrivers([radeon], library => library === '/usr/local/nvidia/lib64/libGLX_nvidia.so.0');
    expect([first, rest]).toEqual([radeon, []]);
    expect(libraryOf(second)).toBe('/usr/local/nvidia/lib64/libGLX_nvidia.so.0');
  });

  it('is replaced by the one that needs no X11 where the described one does not load', () => {
    const icd = file('nvidia_icd.json', description('libGLX_nvidia.so.0'));
    const found = gpuDrivers([icd], library => library === 'libEGL_nvidia.so.0');
    expect(found.map(libraryOf)).toEqual(['libEGL_nvidia.so.0']);
  });

  it('is not invented', () => expect(gpuDrivers([radeon], () => false)).toEqual([radeon]));

  it('leaves no description behind when the process ends', () => {
    const code = `import { gpuDrivers } from './src/device/platform/drivers.ts'; console.log(gpuDrivers([], () => true)[0]);`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', code];
    const path = execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' }).trim();
    expect(path).toMatch(/nvidia_icd\.json$/);
    expect(() => readFileSync(path)).toThrow('ENOENT');
  });
});

const debian = (version: number, codename: string) =>
  `PRETTY_NAME="Debian GNU/Linux ${version} (${codename})"\nVERSION_ID="${version}"\nVERSION_CODENAME=${codename}\nID=debian\n`;
const ubuntu = (version: string, codename: string) =>
  `PRETTY_NAME="Ubuntu ${version} LTS"\nNAME="Ubuntu"\nVERSION_CODENAME=${codename}\nID=ubuntu\nID_LIKE=debian\n`;

/** The text of `apt-cache policy` for offers of [version, suite]. */
function policyText(
  installed: string,
  offers: [version: string, suite: string][],
  mirror = 'http://deb.debian.org/debian',
): string {
  const table = offers.map(([version, suite]) => {
    const mark = version === installed ? ' ***' : '    ';
    return `${mark} ${version} 500\n        500 ${mirror} ${suite}/main amd64 Packages\n`;
  });
  return `mesa-vulkan-drivers:\n  Installed: ${installed}\n  Candidate: ${offers[0][0]}\n  Version table:\n${table.join('')}`;
}
const sourcesText = (...suites: string[]) =>
  `Package files:\n${suites.map(suite => ` 500 http://deb.debian.org/debian ${suite}/main amd64 Packages\n`).join('')}`;

const bookworm: Machine = {
  osRelease: debian(12, 'bookworm'),
  sources: sourcesText('bookworm', 'bookworm-updates'),
  policy: policyText('(none)', [['22.3.6-1+deb12u1', 'bookworm']]),
  root: true,
  sudo: false,
};
const install = 'env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends';

describe('installing lavapipe', () => {
  it('on Debian 12 adds the backports from the mirror in use', () => {
    expect(planInstallation(bookworm)).toEqual([
      "printf '%s\\n' 'Types: deb' 'URIs: http://deb.debian.org/debian' 'Suites: bookworm-backports' 'Components: main' " +
        "'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg' | tee /etc/apt/sources.list.d/sparrow-bookworm-backports.sources >/dev/null",
      'apt-get update',
      `${install} -t bookworm-backports mesa-vulkan-drivers`,
    ]);
  });

  it('with a user who is not root goes through sudo, in every command', () => {
    const commands = planInstallation({ ...bookworm, root: false, sudo: true });
    expect(commands[0]).toContain('| sudo tee /etc/apt');
    expect(commands.slice(1).every(command => command.startsWith('sudo '))).toBe(true);
  });

  it('where the backports are there already only installs from them', () => {
    const policy = policyText('22.3.6-1+deb12u1', [
      ['22.3.6-1+deb12u1', 'bookworm'],
      ['25.0.7-2~bpo12+1', 'bookworm-backports'],
    ]);
    expect(planInstallation({ ...bookworm, policy, sources: sourcesText('bookworm', 'bookworm-backports') })).toEqual([
      'apt-get update',
      `${install} -t bookworm-backports mesa-vulkan-drivers`,
    ]);
  });

  it('on Debian 13 takes what is there', () => {
    const policy = policyText('(none)', [['25.0.7-2', 'trixie']]);
    expect(planInstallation({ ...bookworm, osRelease: debian(13, 'trixie'), policy })).toEqual([
      'apt-get update',
      `${install} mesa-vulkan-drivers`,
    ]);
  });

  it('on Ubuntu 24.04 takes what is there', () => {
    const policy = policyText('(none)', [['25.0.7-0ubuntu0.24.04.2', 'noble-updates']]);
    const commands = planInstallation({ ...bookworm, osRelease: ubuntu('24.04', 'noble'), policy });
    expect(commands.at(-1)).toBe(`${install} mesa-vulkan-drivers`);
  });

  it('has nothing to do where it is there', () => {
    const policy = policyText('25.0.7-2~bpo12+1', [['25.0.7-2~bpo12+1', 'bookworm-backports']]);
    expect(planInstallation({ ...bookworm, policy, root: false })).toEqual([]);
  });

  it('first fetches the lists where apt has none', () => {
    for (const policy of ['', 'mesa-vulkan-drivers:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n']) {
      expect(planInstallation({ ...bookworm, policy })).toEqual(['apt-get update']);
    }
  });

  it.each<[string, Partial<Machine>, string]>([
    [
      'another system',
      { osRelease: 'ID=fedora\nPRETTY_NAME="Fedora Linux 41"\n' },
      'on Debian and Ubuntu only, this is Fedora Linux 41',
    ],
    ['no system that says its name', { osRelease: '' }, 'this is another system'],
    ['no root', { root: false, sudo: false }, 'needs root: run the command as root'],
    [
      'backports that are too old themselves',
      { osRelease: ubuntu('22.04', 'jammy'), sources: sourcesText('jammy', 'jammy-backports') },
      'Ubuntu 22.04 LTS offers Mesa 22.3.6-1+deb12u1 only, and lavapipe needs 25: use a newer release',
    ],
    [
      'no mirror of its own release',
      { policy: policyText('(none)', [['22.3.6-1+deb12u1', 'stable']]) },
      'apt has no source for bookworm whose backports could be added',
    ],
  ])('refuses %s', (_, change, message) => {
    expect(() => planInstallation({ ...bookworm, ...change })).toThrow(message);
  });

  it('never proposes a version of Mesa below 25, whatever apt offers', () => {
    const offer = fc.record({
      major: fc.integer({ min: 18, max: 27 }),
      suite: fc.constantFrom('bookworm', 'bookworm-updates', 'bookworm-backports'),
      installed: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(offer, { minLength: 1, maxLength: 4 }), offers => {
        const rows = offers.map(({ major, suite }) => [`${major}.1.2-1`, suite] as [string, string]);
        const present = offers.find(({ installed }) => installed);
        const policy = policyText(present ? `${present.major}.1.2-1` : '(none)', rows);
        const sources = sourcesText(...new Set(offers.map(({ suite }) => suite)));
        let commands: string[];
        try {
          commands = planInstallation({ ...bookworm, policy, sources });
        } catch (error) {
          expect(offers.every(({ major }) => major < 25)).toBe(true);
          expect((error as Error).message).toMatch(/^[^\n]+$/);
          return;
        }
        if (present && present.major >= 25) {
          expect(commands).toEqual([]);
          return;
        }
        const suite = / -t (\S+) /.exec(commands.at(-1)!)?.[1];
        if (suite && commands.length === 2) {
          expect(offers.some(row => row.suite === suite && row.major >= 25)).toBe(true);
        } else if (suite) {
          expect(offers.some(row => row.suite === suite)).toBe(false);
        } else expect(offers[0].major).toBeGreaterThanOrEqual(25);
      }),
    );
  });

  it('writes a source that apt understands', () => {
    const [add] = planInstallation({
      ...bookworm,
      policy: bookworm.policy.replaceAll('http://deb.debian.org', "http://it's.example"),
    });
    const printed = execFileSync('sh', ['-c', add.replace(/\| tee .*/, '')], { encoding: 'utf8' });
    expect(printed.split('\n')).toEqual([
      'Types: deb',
      "URIs: http://it's.example/debian",
      'Suites: bookworm-backports',
      'Components: main',
      'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg',
      '',
    ]);
  });
});

describe.runIf(/^ID=(debian|ubuntu)$/m.test(osRelease))('running the installation', () => {
  /** Stand-ins for apt: its lists are there once `lists` is, the driver once `driver` is. */
  function standIns(name: string, install: string): { done(): string[]; path: string } {
    const path = join(folder, name);
    const script = (command: string, ...lines: string[]) =>
      chmodSync(file(`${name}/${command}`, ['#!/bin/sh', ...lines, ''].join('\n')), 0o755);
    script('sudo', 'exec "$@"');
    script(
      'apt-cache',
      `[ -e ${path}/lists ] || exit 0`,
      `if [ -e ${path}/driver ]; then installed=25.1; else installed='(none)'; fi`,
      `printf 'mesa-vulkan-drivers:\\n  Installed: %s\\n  Candidate: 25.1\\n' "$installed"`,
    );
    script('apt-get', `echo "apt-get $*" >> ${path}/log`, `case $1 in update) touch ${path}/lists ;; *) ${install} ;; esac`);
    return { path: `${path}:${process.env.PATH}`, done: () => readFileSync(`${path}/log`, 'utf8').trim().split('\n') };
  }
  const withPath = async <T>(path: string, work: () => Promise<T>) => {
    const before = process.env.PATH;
    process.env.PATH = path;
    return work().finally(() => {
      process.env.PATH = before;
    });
  };

  it('asks before each round, runs what it showed, and ends when the driver is there', async () => {
    const { path, done } = standIns('good', `touch ${folder}/good/driver`);
    const shown: string[] = [];
    await withPath(path, () => installLavapipe(async commands => shown.push(commands) > 0));
    expect(shown.map(text => text.replace(/sudo /g, ''))).toEqual([
      'apt-get update',
      `apt-get update\n${install} mesa-vulkan-drivers`,
    ]);
    expect(done()).toEqual([
      'apt-get update',
      'apt-get update',
      'apt-get install -y --no-install-recommends mesa-vulkan-drivers',
    ]);
  });

  it('runs nothing that was not agreed to', async () => {
    const { path, done } = standIns('declined', 'exit 1');
    await withPath(path, () => installLavapipe(async () => false));
    expect(done).toThrow('ENOENT');
  });

  it('passes the last line on when apt fails', async () => {
    const { path } = standIns('bad', `echo 'Reading lists'; echo 'E: No space left on /var' >&2; exit 100`);
    const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    await expect(withPath(path, () => installLavapipe(async () => true))).rejects.toThrow(
      /^'.*apt-get install .*' failed \(exit code 100\): E: No space left on \/var$/,
    );
    expect(stderr.mock.calls.flat().sort()).toEqual(['E: No space left on /var\n', 'Reading lists\n']);
    stderr.mockRestore();
  });

  it('says so when apt succeeds without installing', async () => {
    const { path } = standIns('idle', 'true');
    await expect(withPath(path, () => installLavapipe(async () => true))).rejects.toThrow('apt ran without an error, but');
  });
});

describe('what is printed', () => {
  const run = (code: string) =>
    spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, SPARROW_ADAPTER: 'swiftshader' },
    });

  it('one JSON object by sparrow adapters, and nothing of a Vulkan loader that finds no GPU', () => {
    const { stdout, stderr, status } = spawnSync(process.execPath, ['bin/sparrow.js', 'adapters', '--json'], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(status).toBe(0);
    const { adapters } = JSON.parse(stdout) as { adapters: { kind: string; usable: boolean; refused?: string }[] };
    expect(adapters.map(({ kind }) => kind)).toEqual(['gpu', 'lavapipe', 'swiftshader']);
    expect(adapters[2].usable).toBe(true);
    if (!hasGpu()) expect(adapters[0].refused).toBe('no GPU device (/dev/dri, /dev/nvidia*)');
    expect(stderr).not.toContain('Loader Message');
  });

  it.runIf(process.platform === 'linux' && process.arch === 'x64')(
    'that SwiftShader cannot be unpacked, of SwiftShader alone and with the way out, where the cache is no folder',
    () => {
      const cache = file('a-file');
      const command = (...args: string[]) => {
        const env = { ...process.env, SPARROW_CACHE: cache, SPARROW_ADAPTER: '' };
        return spawnSync(process.execPath, [inject('command'), ...args], { encoding: 'utf8', env });
      };
      const why = new RegExp(
        `SwiftShader cannot be unpacked into ${cache}/swiftshader-\\S+ \\(ENOTDIR: not a directory\\); ` +
          'set SPARROW_CACHE to a folder that can be written',
      );
      const { stdout, status } = command('adapters', '--json');
      expect(status).toBe(0);
      const [gpu, lavapipe, swiftshader] = (JSON.parse(stdout) as { adapters: { usable: boolean; refused?: string }[] }).adapters;
      expect(swiftshader).toMatchObject({ usable: false, refused: expect.stringMatching(why) });
      for (const { usable, refused = '' } of [gpu, lavapipe])
        if (!usable && !refused.startsWith('no Vulkan loader')) expect(refused).not.toContain('SwiftShader');
      const demo = command('demo', '--adapter', 'swiftshader', '--quiet', '--save-dir', join(folder, 'demo'));
      const lines = demo.stderr.trim().split('\n');
      expect([demo.status, lines.length, lines[0]]).toEqual([1, 1, expect.stringMatching(why)]);
    },
  );

  it('the same with an adapter that is named emptily as with none', () => {
    const { stdout } = run(`
      import { openDevice } from './src/device/index.ts';
      process.env.SPARROW_ADAPTER = '';
      const device = await openDevice();
      console.log('opened');
      device.close();`);
    expect(stdout).toBe('opened\n');
  });

  it.runIf(process.platform === 'linux' && process.arch === 'x64')(
    'of a software driver alone, where the others are not offered: that gpu is not it and auto takes it',
    () => {
      const { stdout } = run(`
        import 'webgpu'; // as the system that it is
        import { openDevice } from './src/device/index.ts';
        import { loadLibrary } from './src/device/platform/drivers.ts';
        import { listAdapters } from './src/device/platform/node.ts';
        import { unpackSwiftShader } from './src/device/platform/swiftshader.ts';
        const { icd, loader } = unpackSwiftShader();
        process.env.VK_ICD_FILENAMES = icd;
        loadLibrary('libvulkan.so.1') || loadLibrary(loader);
        Object.defineProperty(process, 'platform', { value: 'win32' });
        const said = [];
        for (const { kind, refused } of await listAdapters()) said.push([kind, refused]);
        await openDevice({ adapter: 'gpu' }).catch(error => said.push([error.name, error.message]));
        const device = await openDevice({ adapter: 'auto' });
        said.push([device.adapter.kind, device.adapter.processor]);
        console.log(JSON.stringify(said));
        device.close();`);
      const only = expect.stringMatching(/^only a software driver answered \(SwiftShader .*\); --adapter auto takes it$/);
      expect(JSON.parse(stdout)).toEqual([
        ['gpu', only],
        ['lavapipe', 'not offered on win32'],
        ['swiftshader', 'not offered on win32'],
        ['NoAdapterError', expect.stringMatching(/^no gpu adapter \(gpu: only a software driver .*auto takes it\); run /)],
        ['gpu', true],
      ]);
    },
  );

  /** What a process writes on stdout and stderr, which are the same pipe. */
  const piped = (code: string) =>
    execFileSync(
      'bash',
      ['-c', '"$@" 2>&1 | cat', 'bash', process.execPath, '--import', 'tsx', '--input-type=module', '-e', code],
      {
        cwd: root,
        encoding: 'utf8',
      },
    );

  it.runIf(process.platform === 'linux')(
    'not that Dawn lowers limits of lavapipe; whatever else is written meanwhile is, in its order',
    () => {
      const text = piped(`
      import { writeSync } from 'node:fs';
      import { withoutLimitWarnings } from './src/device/platform/stderr.ts';
      console.error('before');
      const all = 'from 1000000 to 16 to fit dynamic offset allocation limit.';
      const result = withoutLimitWarnings(() => {
        writeSync(2, 'Warning: maxDynamicUniformBuffersPerPipelineLayout artificially reduced ' + all + '\\nWarning: no driver\\n');
        writeSync(2, 'Warning: maxDynamicStorageBuffersPerPipelineLayout artificially reduced ' + all + '\\n');
        return 'result';
      });
      console.log(result);
      try {
        withoutLimitWarnings(() => {
          writeSync(2, 'an error\\n');
          throw new Error('thrown');
        });
      } catch (error) {
        console.error(error.message);
      }`);
      expect(text).toBe('before\nWarning: no driver\nresult\nan error\nthrown\n');
    },
  );

  it.runIf(process.platform === 'linux')('nothing on stderr at a start with any adapter that is there', () => {
    const text = piped(`
      import { listAdapters } from './src/device/platform/node.ts';
      const found = await listAdapters();
      console.log(found.map(({ kind }) => kind).join());
      process.exit();`);
    expect(text).toBe('gpu,lavapipe,swiftshader\n');
  });

  it('which adapters there are, where none has the number or the name that was asked for', () => {
    const { stdout, stderr } = run(`
      import { openDevice } from './src/device/index.ts';
      for (const gpu of ['0', 'Swift', '1', 'Voodoo'])
        await openDevice({ gpu }).then(
          device => { console.log(device.adapter.architecture); device.close(); },
          error => console.log(error.message),
        );`);
    const refused = (gpu: string) =>
      new RegExp(`^no swiftshader adapter \\(swiftshader: there is no '${gpu}', only 0: SwiftShader.*\\); run `);
    const lines = stdout.trim().split('\n');
    expect([lines.length, stderr]).toEqual([4, '']);
    expect(lines.slice(0, 2)).toEqual(['swiftshader', 'swiftshader']);
    expect(lines[2]).toMatch(refused('1'));
    expect(lines[3]).toMatch(refused('Voodoo'));
  });

  it('nothing by a command that the device refuses: the error is thrown at the next await', () => {
    const { stdout, stderr } = run(`
      import { openDevice } from './src/device/index.ts';
      const device = await openDevice();
      device.gpu.createBuffer({ size: 16, usage: 0 });
      device.gpu.createShaderModule({ code: 'nonsense' });
      await device.sync().catch(error => console.log(error.name));
      device.close();`);
    expect({ stdout, stderr }).toEqual({ stdout: 'ValidationError\n', stderr: '' });
  });
});
