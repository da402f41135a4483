/** PyTorch beside the other libraries: what its measurements become. They are those of an H100 (bench/results), printed again by a shell script. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ConvResult } from '../../src/cli/bench/conv.ts';
import type { StepOutcome } from '../../src/cli/bench/run.ts';
import { addTorchConv, addTorchStep, hasTorch } from '../../src/cli/bench/torch.ts';

const recorded = readFileSync(fileURLToPath(new URL('../../bench/results/h100-2026-11-22.jsonl', import.meta.url)), 'utf8')
  .split('\n')
  .filter(Boolean)
  .map(line => JSON.parse(line));
const torch = recorded.find(r => r.torch);
const own = (part: string) => recorded.find(r => r.part === part);

const folder = mkdtempSync(join(tmpdir(), 'sparrow-torch-'));
/** An interpreter that keeps its arguments in a file and prints `said`. */
function interpreter(name: string, said: string, code = 0): string {
  const path = join(folder, name);
  writeFileSync(`${path}.json`, said);
  writeFileSync(
    path,
    `#!/bin/sh\necho "$@" > '${path}.args'\ncat '${path}.json'\n[ ${code} = 0 ] || echo 'Traceback\nRuntimeError: no kernel' >&2\nexit ${code}\n`,
  );
  chmodSync(path, 0o755);
  return path;
}

beforeAll(() => vi.stubEnv('PYTHON', interpreter('python', JSON.stringify(torch))));
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

const parts: string[] = [];
const options = { samples: 5, adapter: own('conv-8').adapter, onPart: (part: string) => parts.push(part) };

describe('PyTorch', () => {
  it('stands as the last at every shape, with its times over ours', async () => {
    expect(hasTorch()).toBe(true);
    const results: ConvResult[] = own('conv-8').shapes;
    const beside = await addTorchConv(results, options);
    expect(parts).toEqual(['PyTorch']);
    for (const [i, { peers, own: mine }] of beside.entries()) {
      const peer = peers!.at(-1)!;
      if ('error' in peer) throw new Error(peer.error);
      const theirs = torch.conv.fp32[i].own;
      expect([peer.name, peer.version]).toEqual(['PyTorch', '2.11.0+cu130, NVIDIA H100 80GB HBM3']);
      expect(peer.rates).toEqual(theirs);
      expect(peer.ratio.all!.median).toBeCloseTo(mine.all.gflops / theirs.all.gflops, 9);
      expect(peer.ratio.all!.min).toBeLessThan(peer.ratio.all!.max);
    }
    const args = readFileSync(join(folder, 'python.args'), 'utf8');
    expect(args).toMatch(/measure\.py --parts conv --shapes \S+\.json --modes fp32 --samples 5\n$/);
  });

  it('trains the same network, on the processor beside an adapter that is one', async () => {
    const outcome: StepOutcome = own('step-128');
    const adapter = { ...options.adapter, processor: true };
    const { peers } = await addTorchStep(outcome, { ...options, adapter });
    expect(peers).toMatchObject([{ ratio: { median: torch.step.fp32[0].timing.median / outcome.timing.median } }]);
    const args = readFileSync(join(folder, 'python.args'), 'utf8');
    expect(args).toContain('--parts step --width 64 --batch 128 --train-step 10 --device cpu --modes fp32');
  });

  it('is named with its error where it fails', async () => {
    vi.stubEnv('PYTHON', interpreter('failing', '', 1));
    expect(hasTorch()).toBe(false);
    const [{ peers }] = await addTorchConv(own('conv-8').shapes, options);
    expect(peers).toEqual([{ name: 'PyTorch', version: '', error: 'RuntimeError: no kernel' }]);
  });
});
