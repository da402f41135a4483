/** Executables and libraries without what only debuggers and linkers read. */

/**
 * A 64-bit little-endian ELF file cut off after its last segment: symbols, debug information and the section table go, which the
 * system's loader never reads. Field offsets are those of `Elf64_Ehdr` and `Elf64_Phdr` in the ELF-64 specification.
 */
export function withoutSymbols(elf: Buffer): Buffer {
  if (elf.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') throw new Error('not a 64-bit little-endian ELF file');
  const segments = Number(elf.readBigUInt64LE(32));
  const entry = elf.readUInt16LE(54);
  const count = elf.readUInt16LE(56);
  let end = segments + entry * count;
  for (let i = 0; i < count; i++) {
    const at = segments + entry * i;
    end = Math.max(end, Number(elf.readBigUInt64LE(at + 8) + elf.readBigUInt64LE(at + 32)));
  }
  const cut = Buffer.from(elf.subarray(0, end));
  cut.writeBigUInt64LE(0n, 40); // e_shoff
  cut.writeUInt16LE(0, 60); // e_shnum
  cut.writeUInt16LE(0, 62); // e_shstrndx
  return cut;
}
