/**
 * Writing Protocol Buffers: a message is a list of fields, each a tag (number·8 + wire type) and a value. See "Encoding" in the documentation of Protocol Buffers; reading
 * and schemas are not needed here.
 */

/** A field as written: its tag and its value, in parts that are joined once. */
export type Field = readonly Uint8Array[];

/** 7 bits a byte, the lowest first, the top bit set where more follow. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value)); // negative numbers take ten bytes
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}

const tag = (field: number, wireType: 0 | 2 | 5) => varint(field * 8 + wireType);

/** A whole number (int32, int64, enumerations). */
export function int(field: number, value: number): Field {
  return [tag(field, 0), varint(value)];
}

/** A 32-bit float. */
export function float(field: number, value: number): Field {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value, true);
  return [tag(field, 5), bytes];
}

export function bytes(field: number, value: Uint8Array): Field {
  return [tag(field, 2), varint(value.length), value];
}

export function string(field: number, value: string): Field {
  return bytes(field, new TextEncoder().encode(value));
}

/** A message inside of a message. */
export function message(field: number, fields: readonly Field[]): Field {
  const parts = fields.flat();
  return [tag(field, 2), varint(parts.reduce((n, part) => n + part.length, 0)), ...parts];
}

/** A whole file: the fields of its outermost message. */
export function encode(fields: readonly Field[]): Uint8Array {
  const parts = fields.flat();
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
