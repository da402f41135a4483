/**
 * Decoding of image files: JPEG by MozJPEG (as WebAssembly; its decoder is that of libjpeg-turbo, bit by bit), PNG by fast-png. Formats are
 * told by content, not by name. Every image becomes planes of red, green and blue; grey is repeated, transparency ignored.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import decodeJpeg, { init } from '@jsquash/jpeg/decode.js';
import { convertIndexedToRgb, decode as decodePng, hasPngSignature } from 'fast-png';
import { fileError } from '../files.ts';

/** Files to decode, all of `height` x `width` pixels; without these, of the size of the first. */
export interface Task {
  readonly first: number;
  readonly files: readonly string[];
  readonly size?: readonly [height: number, width: number];
}

/** What became of a task. */
export interface Done {
  readonly first: number;
  readonly size: readonly [height: number, width: number] | undefined;
  /** [N, 3, H, W]; zeros for the images that are among the problems. */
  readonly pixels: Uint8Array<ArrayBuffer>;
  readonly problems: readonly Problem[];
}

export interface Problem {
  /** Position in the whole list of files. */
  readonly index: number;
  /**
   * `size`: a good image of another size. `corrupt`: no image, or a damaged one. `unreadable`: the operating system refused to
   * read the file, which says nothing about the image.
   */
  readonly kind: 'corrupt' | 'size' | 'unreadable';
  /** For `size` HEIGHTxWIDTH, for `unreadable` the whole message, else the decoder's reason. */
  readonly reason: string;
}

interface Picture {
  readonly width: number;
  readonly height: number;
  /** Interleaved, `channels` values a pixel. */
  readonly data: ArrayLike<number>;
  readonly channels: number;
  /** How far to shift a value right to get 8 bits. */
  readonly shift: number;
}

/** What the JPEG decoder complained of first: it goes on in silence with what it has. After something harmless, why it gave up. */
let complaint = '';
let compiled: WebAssembly.Module | undefined;
let ready: Promise<void> | undefined;

/** Complaints of files that are whole: bytes between segments, a version of JFIF; other decoders take these too. */
const harmless = /extraneous bytes|unknown JFIF revision/;

async function jpeg(bytes: Uint8Array<ArrayBuffer>): Promise<Picture> {
  compiled ??= new WebAssembly.Module(
    readFileSync(createRequire(import.meta.url).resolve('@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm')),
  );
  ready ??= (init as (module: WebAssembly.Module, options: object) => Promise<void>)(compiled, {
    printErr: (line: string) => {
      if (!complaint || harmless.test(complaint)) complaint = line;
    },
  });
  await ready;
  complaint = '';
  const { width, height, data } = await decodeJpeg(bytes.buffer).catch((error: Error) => {
    ready = undefined; // it stopped midway and leaves its stack and memory taken: after a hundred of these it decodes nothing more
    throw new Error(complaint || error.message);
  });
  if (complaint && !harmless.test(complaint)) throw new Error(complaint);
  if (complaint && !hasEnd(bytes)) throw new Error('Premature end of JPEG file');
  return { width, height, data, channels: 4, shift: 0 };
}

/** Whether the marker of the end (EOI) follows that of the last scan (SOS). */
function hasEnd({ buffer }: Uint8Array<ArrayBuffer>): boolean {
  const file = Buffer.from(buffer);
  return file.includes(Buffer.of(0xff, 0xd9), file.lastIndexOf(Buffer.of(0xff, 0xda)));
}

function png(bytes: Uint8Array): Picture {
  const decoded = decodePng(bytes, { checkCrc: true });
  const { width, height, depth, palette } = decoded;
  if (palette) return { width, height, data: convertIndexedToRgb(decoded), channels: palette[0].length, shift: 0 };
  if (depth < 8) throw new Error(`a grey PNG of ${depth} bits is not supported`);
  return { width, height, data: decoded.data, channels: decoded.channels, shift: depth - 8 };
}

async function picture(file: string): Promise<Picture> {
  const bytes = new Uint8Array(readFileSync(file));
  if (bytes.length === 0) throw new Error('empty file');
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return jpeg(bytes);
  if (hasPngSignature(bytes)) return png(bytes);
  throw new Error('neither JPEG nor PNG');
}

/** Writes the planes of a picture. One or two channels are grey (with transparency), three or four are colour. */
function writePlanes({ data, channels, shift, width, height }: Picture, out: Uint8Array): void {
  const pixels = width * height;
  for (let c = 0; c < 3; c++) {
    const channel = channels < 3 ? 0 : c;
    for (let i = 0; i < pixels; i++) out[c * pixels + i] = data[i * channels + channel] >> shift;
  }
}

/** Decodes the files of a task, one after the other. */
export async function decodeFiles({ first, files, size: given }: Task): Promise<Done> {
  const problems: Problem[] = [];
  let size = given;
  let pixels = size && new Uint8Array(files.length * 3 * size[0] * size[1]);
  for (const [i, file] of files.entries()) {
    try {
      const found = await picture(file);
      size ??= [found.height, found.width];
      const [height, width] = size;
      const bytes = 3 * height * width;
      pixels ??= new Uint8Array(files.length * bytes);
      if (found.height === height && found.width === width) writePlanes(found, pixels.subarray(i * bytes, (i + 1) * bytes));
      else problems.push({ index: first + i, kind: 'size', reason: `${found.height}x${found.width}` });
    } catch (error) {
      const { syscall, path, message } = error as NodeJS.ErrnoException; // of these, decoders' errors have a message alone
      const refused = syscall !== undefined && fileError('read', path ?? file, error).message;
      const reason = refused || message.replace(/:\s*$/, ''); // of data that zlib has no word for
      problems.push({ index: first + i, kind: refused ? 'unreadable' : 'corrupt', reason });
    }
  }
  return { first, size, pixels: pixels ?? new Uint8Array(0), problems };
}
