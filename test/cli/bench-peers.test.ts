/** Other libraries beside Sparrow, in their own processes. Those that need `npm ci --prefix bench/peers` are skipped without it. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { benchConv } from '../../src/cli/bench/conv.ts';
import { benchNorm } from '../../src/cli/bench/norm.ts';
import { benchPasses } from '../../src/cli/bench/passes.ts';
import { installedPeers, preparePeer } from '../../src/cli/bench/peer.ts';
import { benchStep } from '../../src/cli/bench/step.ts';
import { enterStep } from '../../src/cli/bench/step-peers.ts';
import { stepPeersText } from '../../src/cli/bench/text-contest.ts';
import { attack, Training } from '../../src/cli/bench/training.ts';
import type { Device } from '../../src/device/index.ts';
import { elementwise } from '../../src/tensor/elementwise.ts';
import { testDevice } from '../engine.ts';

const installed = existsSync(fileURLToPath(new URL('../../bench/peers/node_modules/@jax-js/jax', import.meta.url)));
let device: Device;

beforeAll(async () => {
  device = await testDevice();
});

const nobody = () => ({ libraries: [], adapter: device.adapter, gpu: '' });

/** States and arguments of this process's children that are peers. */
function peerProcesses(): string[] {
  const children = execFileSync('ps', ['--ppid', String(process.pid), '-o', 'stat=,args='], { encoding: 'utf8' });
  return children.split('\n').filter(line => line.includes('host.js'));
}

it('a library that does not start is an error with its reason, and leaves no process behind', async () => {
  const library = { module: 'none', name: 'none', version: '0' };
  await expect(preparePeer(library, 'conv', {}, device.adapter)).rejects.toThrow(/Cannot find module .*none\.js/);
  await expect.poll(peerProcesses).toEqual([]);
});

describe('the two equal steps', () => {
  const tiny = { arch: 'resnet8', width: 2, batchSize: 2, attackSteps: 2 };

  it('depend on the projection of the attack', async () => {
    const { losses, entry } = await enterStep(device, tiny, nobody(), () => {});
    entry.close();
    const firstLoss = async (eps: number) => {
      const training = new Training(device, { ...tiny, attackSteps: 1, repeatable: true, eps });
      const loss = await training.lossOfStep();
      training.dispose();
      return loss;
    };
    expect(attack.stepSize).toBeGreaterThan(1 / 255);
    expect(await firstLoss(1 / 255)).toBe(losses[0]);
    expect(await firstLoss(attack.eps)).not.toBe(losses[0]);
  });

  it('are what first steps are told of', async () => {
    const r = await benchStep(device, { ...tiny, samples: 1, profile: false, peers: nobody() });
    expect(r.firstEqualStepSeconds).toBeGreaterThan(0);
    const text = stepPeersText({ suite: 'step', ok: true, trainStep: 2, ...tiny, ...r, firstEqualStepSeconds: 12.34 });
    expect(text).toMatch(/^in turns .* first equal step /);
    expect(text).toMatch(/^Sparrow .* 12\.34 /m);
  });
});

describe.skipIf(!installed)('with bench/peers installed', () => {
  /** One library: each compiles for seconds. */
  const peers = (module: string) => ({
    libraries: installedPeers().filter(l => l.module === module),
    adapter: device.adapter,
    gpu: '',
  });

  it.each(['jax', 'tfjs'])(
    '%s comes to the same convolutions, strided and of odd sizes',
    async module => {
      const [{ own, peers: found }] = await benchConv(device, {
        shapes: '3-5x7s2n2',
        batchSize: 1,
        samples: 2,
        peers: peers(module),
      });
      expect(found).toHaveLength(1);
      const [peer] = found!;
      if ('error' in peer) throw new Error(peer.error);
      expect(peer.difference).toBeLessThan(1e-5);
      for (const pass of ['forward', 'inputGradient', 'weightGradient', 'all'] as const) {
        const ratio = peer.ratio[pass]!;
        expect(peer.rates[pass]!.gflops).toBeGreaterThan(0);
        expect(ratio.min).toBeLessThanOrEqual(ratio.median);
        expect(ratio.median).toBeLessThanOrEqual(ratio.max);
        expect(own[pass].timing.samples).toBe(2);
      }
    },
    60_000,
  );

  it('is stopped between its turns', async () => {
    const [library] = installedPeers();
    const values = (shape: number[]) => ({ shape, values: new Float32Array(shape.reduce((a, b) => a * b)).fill(0.5) });
    const given = { x: values([1, 2, 4, 4]), gamma: values([2]), beta: values([2]), g: values([1, 2, 4, 4]) };
    const work = await preparePeer(library, 'norm', given, device.adapter);
    try {
      expect(work.passes).toEqual(['forward', 'all']);
      expect(await work.run('forward', 2)).toBeGreaterThan(0);
      expect(peerProcesses()).toEqual([expect.stringMatching(/^T/)]);
      await expect(work.run('backward', 1)).rejects.toThrow('not a function');
    } finally {
      work.close();
    }
    await expect.poll(peerProcesses).toEqual([]);
  }, 60_000);

  it('tfjs trains to the same losses', async () => {
    const options = { arch: 'resnet18', width: 1, batchSize: 2, attackSteps: 2, samples: 1, profile: false };
    const r = await benchStep(device, { ...options, peers: peers('tfjs') });
    const [peer] = r.peers!;
    if ('error' in peer) throw new Error(peer.error);
    expect(peer.difference).toBeLessThan(1e-4);
    expect(r.losses![1]).not.toBe(r.losses![0]);
    expect(peer.ratio.median).toBeCloseTo(peer.timing.median / r.timing.median, 6);
  }, 90_000);

  it('a library on another adapter is out', async () => {
    const other = { ...peers('tfjs'), adapter: { ...device.adapter, description: 'another' } };
    const [{ peers: found }] = await benchNorm(device, { batchSize: 1, samples: 1, peers: other });
    expect(found).toMatchObject([
      { name: 'tfjs', error: expect.stringMatching(/^it runs on another adapter, .* than another$/) },
    ]);
  }, 60_000);

  it('a library without the numbers of Sparrow is out', async () => {
    const shape = [1, 2, 4, 4];
    const { own, peers: found } = await benchPasses(
      device,
      {
        task: 'norm',
        shapes: { x: shape, gamma: [2], beta: [2], g: shape },
        more: {},
        launches: ([x]) => ({ forward: () => [elementwise('square', [x])] }),
        compared: ['forward'],
        tolerance: 1e-4,
        rate: (_, timing) => timing,
      },
      { samples: 1, peers: peers('tfjs'), onPart: () => {} },
    );
    expect(own.forward.median).toBeGreaterThan(0);
    expect(found).toMatchObject([
      { error: expect.stringMatching(/^its results differ from Sparrow's by .*, more than 0.0001$/) },
    ]);
  }, 60_000);
});
