/** MAT-files of level 5 as MATLAB and scipy write them. */
import { deflateSync } from 'node:zlib';

const pad = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)]);

/** One data element: tag, data, padding; up to four bytes inside the tag. */
export function element(type: number, data: Buffer): Buffer {
  const tag = Buffer.alloc(8);
  if (data.length > 0 && data.length <= 4) {
    tag.writeUInt32LE((data.length << 16) | type, 0);
    data.copy(tag, 4);
    return tag;
  }
  tag.writeUInt32LE(type, 0);
  tag.writeUInt32LE(data.length, 4);
  return Buffer.concat([tag, pad(data)]);
}

const int32 = (values: number[]) => Buffer.from(Int32Array.from(values).buffer);

/** A numeric array: its class (9 uint8, 6 double), shape, and numbers in column-major order stored as `type` (2 uint8, 9 double). */
export function matrix(name: string, arrayClass: number, shape: number[], type: number, data: Buffer): Buffer {
  const parts = [
    element(6, int32([arrayClass, 0])),
    element(5, int32(shape)),
    element(1, Buffer.from(name)),
    element(type, data),
  ];
  return element(14, Buffer.concat(parts));
}

/** The element as `-v7` stores it. */
export function compressed(whole: Buffer): Buffer {
  const data = deflateSync(whole);
  const tag = Buffer.alloc(8);
  tag.writeUInt32LE(15, 0);
  tag.writeUInt32LE(data.length, 4);
  return Buffer.concat([tag, data]);
}

export function matFile(...elements: Buffer[]): Buffer {
  const header = Buffer.alloc(128, ' ');
  header.write('MATLAB 5.0 MAT-file, Platform: GLNXA64', 0, 'latin1');
  header.writeUInt16LE(0x0100, 124);
  header.write('IM', 126, 'latin1');
  return Buffer.concat([header, ...elements]);
}
