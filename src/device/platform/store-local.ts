/** Texts that outlive the page, such as what was measured: the browser's local storage, by origin. */
import { SparrowError } from '../../errors.ts';

const key = (name: string) => `sparrow.${name}`;

/** Where a text is kept, for messages. */
export function storedPlace(name: string): string {
  return `local storage '${key(name)}'`;
}

/** The text kept under a name; undefined where there is none yet. @throws SparrowError where the page may not use local storage */
export function readStored(name: string): string | undefined {
  try {
    return localStorage.getItem(key(name)) ?? undefined;
  } catch (error) {
    throw new SparrowError(`cannot read ${storedPlace(name)}: ${(error as Error).message}`, { cause: error });
  }
}

/** Keeps a text. @throws SparrowError where the page may not use local storage, or it is full */
export function writeStored(name: string, text: string): void {
  try {
    localStorage.setItem(key(name), text);
  } catch (error) {
    throw new SparrowError(`cannot write ${storedPlace(name)}: ${(error as Error).message}`, { cause: error });
  }
}

/** Whether kernels may be chosen by what was measured. */
export function usesMeasured(): boolean {
  return true;
}
