/** Each room of `src` imports only from those before it, and the engine runs without Node: checked on every file. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { importsOf, rooms, violations } from './architecture.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

function projectFiles(): Map<string, string> {
  const names = ['src', 'web'].flatMap(folder => {
    try {
      return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map(name => `${folder}/${name}`);
    } catch {
      return []; // no such folder yet
    }
  });
  const sources = names.map(name => name.replaceAll('\\', '/')).filter(name => name.endsWith('.ts'));
  return new Map(sources.map(name => [name, readFileSync(join(root, name), 'utf8')]));
}

describe('the project', () => {
  const files = projectFiles();

  it('follows the rules', () => expect(violations(files)).toEqual([]));

  it('is really looked at', () => {
    expect(files.size).toBeGreaterThan(50);
    const imports = [...files.values()].flatMap(importsOf);
    for (const name of ['#platform', 'node:fs', 'webgpu', '../device/index.ts']) expect(imports).toContain(name);
  });

  it('has no folder that the rules do not know', () => {
    const folders = new Set([...files.keys()].filter(name => /^src\/.*\//.test(name)).map(name => name.split('/')[1]));
    expect([...folders].filter(folder => !rooms.includes(folder as never))).toEqual([]);
  });
});

describe('a wrong import is found', () => {
  it.each<[file: string, line: string, why: string]>([
    ['src/device/pool.ts', "import { Tensor } from '../tensor/index.ts';", 'device comes before tensor'],
    ['src/kernels/conv.ts', "import type { Tape } from '../autograd/tape.ts';", 'kernels comes before autograd'],
    ['src/sparse/mask.ts', "const pgd = await import('../adv/pgd.ts');", 'sparse comes before adv'],
    ['src/train/run.ts', "export * from '../cli/table.ts';", 'train comes before cli'],
    ['src/data/cifar.ts', "import { Linear } from '../nn/index.ts';", 'data must not know nn'],
    ['src/report/page.ts', "import { openDevice } from '../device/index.ts';", 'report must not know device'],
    ['src/index.ts', "export * from './cli/main.ts';", 'the library has no command line'],
    ['src/nn/deep/layer.ts', "import {\n  ref,\n} from '../../../test/reference/array.ts';", 'it lies outside of src'],
    ['src/nn/conv.ts', "import { x } from '../utilities/x.ts';", 'it is in no room of the list'],
    ['src/tensor/tensor.ts', "import 'node:fs';", 'the file is not among those that are for Node only'],
    ['src/device/platform/browser.ts', "import fs from 'fs';", 'the file is not among those that are for Node only'],
    ['src/data/shapes.ts', "import { join } from 'node:path';", 'the file is not among those that are for Node only'],
    ['src/nn/conv.ts', "import { kernelText } from '#platform';", 'only device and kernels know platforms'],
    ['src/kernels/kernel.ts', "import { kernelText } from '#kernels';", 'only a platform knows where kernels are'],
    ['src/autograd/tape.ts', "import _ from 'lodash';", 'the engine depends on no package'],
    ['src/device/device.ts', "import { create } from 'webgpu';", 'the engine depends on no package'],
    ['web/main.ts', "import { readFileSync } from 'node:fs';", 'the file is not among those that are for Node only'],
    ['web/main.ts', "import { readFileBytes } from '../src/data/files.ts';", 'it does not run in a browser'],
    ['web/main.ts', "import { run } from '../src/cli/program.ts';", 'it does not run in a browser'],
  ])('%s: %s', (file, line, why) => {
    expect(violations(new Map([[file, `/** A file. */\n${line}\n`]]))).toEqual([expect.stringContaining(`: ${why}`)]);
  });

  it('and a right one, or one in a comment, is not', () => {
    const right = [
      ['src/nn/conv.ts', "import { Tensor } from '../tensor/index.ts';"],
      ['src/adv/pgd.ts', "import { SparrowError } from '../errors.ts';"],
      ['src/cli/main.ts', "import { readFileSync } from 'node:fs';"],
      ['src/device/platform/node.ts', "const { create } = await import('webgpu');"],
      ['web/main.ts', "import { openDevice } from '../src/index.ts';"],
      ['src/device/pool.ts', " * as in `import { Tensor } from '../tensor/index.ts'`"],
    ] as const;
    expect(violations(new Map(right))).toEqual([]);
  });
});
