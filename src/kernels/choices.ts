/**
 * Which variant a kernel family runs with, where that was measured: a table by key for each device, and how such tables are kept, in the
 * cache of this machine (by adapter) and beside a training run. What is not in the table runs with the family's default.
 */
import { readStored, storedPlace, usesMeasured, writeStored } from '#platform';
import type { Device } from '../device/index.ts';
import { FileError, SparrowError } from '../errors.ts';

/** What tells a variant from its family's others, such as the sizes of a tile: plain data, so that it can be kept. */
export type Variant = Readonly<Record<string, string | number | boolean>>;

/** What was measured for a key. */
export interface Choice {
  /** The fastest; null where the default is. */
  readonly variant: Variant | null;
  /** Milliseconds of the fastest, and of the default. */
  readonly best: number;
  readonly default: number;
}

/** By key: which work of which family on which sizes, in words. */
export type Choices = ReadonlyMap<string, Choice>;

const inUse = new WeakMap<Device, Choices>();
const none: Choices = new Map();

/** What kernels of a device are chosen by. Nothing, until `loadChoices` or `useChoices` says what. */
export function choicesOf(device: Device): Choices {
  return inUse.get(device) ?? none;
}

/** Kernels of a device are chosen by these from now on; captured steps stay as they are. */
export function useChoices(device: Device, choices: Choices): void {
  inUse.set(device, choices);
}

// -- kept as text ------------------------------------------------------------------------------------------------------------------------

/**
 * Of the format, of what keys and variants mean, and of the defaults and candidates that were measured: rises with every change of theirs, for
 * times of another version are no answer to what `tuneModel` asks. In 2, strided 1x1 convolutions are launched as pointwise ones; in 3,
 * lavapipe's weight gradients of images eight wide take whole rows, and few weights are read from lists there.
 */
const VERSION = 3;
/**
 * What a run may have been started with: its tiles compute the same in this version, those that are no candidates any more excepted, for which the
 * default runs.
 */
const READ_BESIDE_A_RUN: readonly unknown[] = [1, 2, VERSION];
/** The name of the cache's text. */
const STORE = 'kernels';

/** Choices by adapter. */
type Tables = Map<string, Choices>;

/** What times are good for: the same adapter with the same driver, computing with the same precision. */
export function adapterKey(device: Device): string {
  const { vendor, architecture, description } = device.adapter;
  return [vendor, architecture, device.gpu.adapterInfo?.device, description, device.precision].filter(Boolean).join(', ');
}

function encode(tables: Tables): string {
  const adapters = Object.fromEntries([...tables].map(([adapter, choices]) => [adapter, Object.fromEntries(choices)]));
  return `${JSON.stringify({ version: VERSION, adapters }, null, 2)}\n`;
}

/** @throws FileError, naming the source, for what is not such a text, or of none of the versions */
function decode(text: string, source: string, versions: readonly unknown[]): Tables {
  let parsed: { version?: unknown; adapters?: unknown } | null;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new FileError(`${source}: is not valid JSON (${(error as Error).message})`);
  }
  if (!isRecord(parsed) || !isRecord(parsed.adapters)) throw new FileError(`${source}: holds no measured kernels`);
  if (!versions.includes(parsed.version)) throw new FileError(`${source}: was written by another version of sparrow`);
  const tables: Tables = new Map();
  for (const [adapter, choices] of Object.entries(parsed.adapters)) {
    if (!isRecord(choices)) throw new FileError(`${source}: the entry of '${adapter}' is damaged`);
    for (const [key, choice] of Object.entries(choices))
      if (!isChoice(choice)) throw new FileError(`${source}: the entry '${key}' is damaged`);
    tables.set(adapter, new Map(Object.entries(choices as Record<string, Choice>)));
  }
  return tables;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function isChoice(value: unknown): value is Choice {
  if (!isRecord(value) || typeof value.best !== 'number' || typeof value.default !== 'number') return false;
  const { variant } = value;
  return variant === null || (isRecord(variant) && Object.values(variant).every(v => /^(string|number|boolean)$/.test(typeof v)));
}

// -- beside a run ------------------------------------------------------------------------------------------------------------------------

/** The choices in use, as text for `decodeChoices`. */
export function encodeChoices(device: Device): string {
  return encode(new Map([[adapterKey(device), choicesOf(device)]]));
}

/**
 * The choices in a text of `encodeChoices`.
 * @returns undefined where they were made for another adapter, driver or precision @throws FileError, naming the source, for a text that is none
 */
export function decodeChoices(device: Device, text: string, source: string): Choices | undefined {
  try {
    return decode(text, source, READ_BESIDE_A_RUN).get(adapterKey(device));
  } catch (error) {
    if (error instanceof FileError) throw new FileError(`${error.message}; delete it to go on with the default kernels`);
    throw error;
  }
}

// -- the cache ---------------------------------------------------------------------------------------------------------------------------

/** Where measurements are kept: a file's path, or the name in the browser's local storage. */
export function choicesPlace(): string {
  return storedPlace(STORE);
}

/**
 * Kernels of a device are chosen from now on by what was measured on its adapter, unless SPARROW_TUNE is `off`.
 * @returns a line for the user where the cache cannot be used; the defaults are used then @throws UsageError for a wrong SPARROW_TUNE
 */
export function loadChoices(device: Device): string | undefined {
  if (!usesMeasured()) return undefined;
  try {
    const text = readStored(STORE);
    if (text !== undefined) useChoices(device, decode(text, choicesPlace(), [VERSION]).get(adapterKey(device)) ?? none);
    return undefined;
  } catch (error) {
    if (error instanceof SparrowError)
      return `${error.message}; kernels run with their defaults until it is deleted or tuned anew`;
    throw error;
  }
}

/** Adds the choices in use to the cache, which keeps those of other adapters. @throws SparrowError where it cannot be written */
export function saveChoices(device: Device): void {
  const tables = readTables();
  const adapter = adapterKey(device);
  tables.set(adapter, new Map([...(tables.get(adapter) ?? none), ...choicesOf(device)]));
  writeStored(STORE, encode(tables));
}

/** What the cache holds; nothing where it cannot be read, for then it is written anew. */
function readTables(): Tables {
  try {
    return decode(readStored(STORE) ?? encode(new Map()), choicesPlace(), [VERSION]);
  } catch (error) {
    if (error instanceof SparrowError) return new Map();
    throw error;
  }
}
