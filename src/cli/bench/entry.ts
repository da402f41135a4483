/** Which libraries take part in a contest: those that start, run the work, and come to Sparrow's numbers. The others are named with the reason. */
import type { AdapterDescription } from '../../device/index.ts';
import type { PeerResult } from './contest.ts';
import { type PeerLibrary, type PeerTask, type PeerWork, preparePeer } from './peer.ts';

/** The libraries of a run of the bench. */
export interface Peers {
  readonly libraries: readonly PeerLibrary[];
  readonly adapter: AdapterDescription;
  /** Which of several GPUs. */
  readonly gpu: string;
}

/** How far a library's numbers are from Sparrow's; absent where they are not from the same inputs (PyTorch). */
export interface Compared {
  readonly difference?: number;
}

export class Entry {
  private readonly libraries: readonly PeerLibrary[];
  private readonly errors = new Map<string, string>();
  private readonly differences = new Map<string, number>();
  private readonly works: PeerWork[] = [];

  private constructor(libraries: readonly PeerLibrary[]) {
    this.libraries = libraries;
  }

  /** Starts every library on a work, one after the other. @param onPart told which one is at it */
  static async open(peers: Peers | undefined, task: PeerTask, given: object, onPart: (part: string) => void): Promise<Entry> {
    const entry = new Entry(peers?.libraries ?? []);
    for (const library of entry.libraries) {
      onPart(`${library.name} compiles`);
      try {
        entry.works.push(await preparePeer(library, task, given, peers!.adapter, peers!.gpu));
      } catch (error) {
        entry.errors.set(library.name, (error as Error).message);
      }
    }
    return entry;
  }

  /** Those that take part. */
  get ready(): readonly PeerWork[] {
    return this.works.filter(work => !this.errors.has(work.name));
  }

  /** Lets those out whose results differ by more than `allowed`: comparing the time of different work says nothing. */
  compare(allowed: number, differenceTo: (results: PeerWork['results']) => number): void {
    for (const work of this.ready) {
      const difference = differenceTo(work.results);
      this.differences.set(work.name, difference);
      if (difference <= allowed) continue;
      this.errors.set(work.name, `its results differ from Sparrow's by ${difference.toExponential(1)}, more than ${allowed}`);
      work.close();
    }
  }

  /**
   * What there is to say of every library, in their order, after `compare`.
   * @param of what results hold of one that took part, from its rounds and from the numbers that it came to when it was prepared
   */
  results<R extends object, T extends object>(
    rounds: readonly PeerResult<R>[],
    of: (rounds: R, prepared: PeerWork['results']) => T,
  ): PeerResult<T & Compared>[] {
    return this.libraries.map(({ name, version }) => {
      const found = rounds.find(round => round.name === name);
      const error = this.errors.get(name) ?? (found && 'error' in found ? found.error : undefined);
      if (error !== undefined) return { name, version, error };
      const { results } = this.works.find(work => work.name === name)!;
      return { name, version, ...of(found as R & PeerResult<R>, results), difference: this.differences.get(name)! };
    });
  }

  /** Ends their processes. */
  close(): void {
    for (const work of this.works) work.close();
  }
}
