/**
 * The other libraries of `--peers`. They live in `bench/peers` with packages of their own, which nothing else needs, and each work runs in a
 * process of its own (`host.js`): one that fails takes nothing with it, and while others have their turn it is stopped and costs nothing.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AdapterDescription } from '../../device/index.ts';
import { SparrowError } from '../../errors.ts';

/** What is compared; `src/cli/bench/{conv,norm,step-peers}.ts` say what they give to each. */
export type PeerTask = 'conv' | 'norm' | 'step';

/** An array on its way to a peer, planes and rows as Sparrow has them. */
export interface Given {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A library as it is installed. */
export interface PeerLibrary {
  /** Of its module in `bench/peers`. */
  readonly module: string;
  readonly name: string;
  readonly version: string;
}

/** A work that a library is ready to run. */
export interface PeerWork {
  readonly name: string;
  readonly version: string;
  /** The passes that it has. */
  readonly passes: readonly string[];
  /** Numbers to be compared with Sparrow's; which ones depends on the task. */
  readonly results: Readonly<Record<string, unknown>>;
  /** Milliseconds of `runs` runs of a pass, measured in its process. @throws SparrowError if it fails */
  run(pass: string, runs: number): Promise<number>;
  /** Ends its process. */
  close(): void;
}

const libraries: readonly { readonly module: string; readonly name: string; readonly package: string }[] = [
  { module: 'jax', name: 'jax-js', package: '@jax-js/jax' },
  { module: 'tfjs', name: 'tfjs', package: '@tensorflow/tfjs-backend-webgpu' },
];
const folder = fileURLToPath(new URL('../../../bench/peers/', import.meta.url));
/** Milliseconds after which a peer that gives no answer is given up: a software adapter compiles some kernels for minutes. */
const PATIENCE = 40 * 60_000;

/** The libraries and their versions. @throws SparrowError saying how to install them, where they are not */
export function installedPeers(): PeerLibrary[] {
  if (!existsSync(`${folder}host.js`)) throw new SparrowError('--peers works in a checkout of the project only');
  return libraries.map(({ module, name, package: of }) => {
    const manifest = `${folder}node_modules/${of}/package.json`;
    if (!existsSync(manifest)) throw new SparrowError(`--peers: ${name} is not installed; run npm ci --prefix bench/peers`);
    return { module, name, version: JSON.parse(readFileSync(manifest, 'utf8')).version };
  });
}

/**
 * Starts a library in a process of its own, on the Vulkan driver of the device that was opened last, and prepares a work: it is compiled and
 * has run when this returns.
 * @param gpu which of several GPUs, as for the device @throws SparrowError with the library's own error, if it cannot
 */
export async function preparePeer(
  library: PeerLibrary,
  task: PeerTask,
  given: object,
  adapter: AdapterDescription,
  gpu = '',
): Promise<PeerWork> {
  const host = new Host(library.module, gpu, adapter);
  try {
    const opened = (await host.call('open')) as { adapter: string };
    if (opened.adapter !== adapter.description)
      throw new SparrowError(`it runs on another adapter, ${opened.adapter || 'none'}, than ${adapter.description}`);
    const { passes, results } = (await host.call('prepare', task, given)) as Pick<PeerWork, 'passes' | 'results'>;
    const { name, version } = library;
    return {
      name,
      version,
      passes,
      results,
      run: (pass, runs) => host.call('run', pass, runs) as Promise<number>,
      close: () => host.close(),
    };
  } catch (error) {
    host.close();
    throw error;
  }
}

interface Answer {
  readonly value?: unknown;
  readonly error?: string;
}

/** A child process that answers one call at a time, and is stopped between them. */
class Host {
  private readonly child: ChildProcess;
  private readonly onExit = () => this.child.kill('SIGKILL');
  private stderr = '';

  constructor(module: string, gpu: string, adapter: AdapterDescription) {
    const env = { ...process.env };
    // the loader that comes with the embedded driver, for systems without one
    const loader = adapter.kind === 'swiftshader' && env.VK_ICD_FILENAMES ? dirname(env.VK_ICD_FILENAMES) : undefined;
    if (loader) env.LD_LIBRARY_PATH = [loader, env.LD_LIBRARY_PATH].filter(Boolean).join(':');
    this.child = fork(`${folder}host.js`, [module, gpu], {
      cwd: folder,
      env,
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.child.stderr!.setEncoding('utf8').on('data', text => {
      this.stderr = (this.stderr + text).slice(-4000);
    });
    process.once('exit', this.onExit);
  }

  call(name: string, ...given: unknown[]): Promise<unknown> {
    const { child } = this;
    return new Promise((resolve, reject) => {
      const settle = (answer: Answer) => {
        clearTimeout(patience);
        child.off('message', settle).off('exit', ended).off('error', failed);
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGSTOP');
        if (answer.error === undefined) resolve(answer.value);
        else reject(new SparrowError(answer.error));
      };
      const ended = (code: number | null, signal: string | null) => {
        const said = lastLine(this.stderr);
        settle({ error: `its process ended (${signal ?? code})${said ? `: ${said}` : ''}` });
      };
      const failed = (error: Error) => settle({ error: error.message });
      const patience = setTimeout(() => settle({ error: `no answer within ${PATIENCE / 60_000} minutes` }), PATIENCE);
      child.on('message', settle).on('exit', ended).on('error', failed);
      child.kill('SIGCONT');
      child.send({ call: name, given }, error => error && failed(error));
    });
  }

  close(): void {
    process.off('exit', this.onExit);
    this.child.kill('SIGKILL');
  }
}

/** The line that says most of what a process wrote before it ended: its error, else its last line. */
function lastLine(text: string): string | undefined {
  const lines = text.split('\n').map(line => line.trim());
  return lines.findLast(line => /\w*Error\b.*:/.test(line)) ?? lines.findLast(line => line !== '' && !/^Warning:/.test(line));
}
