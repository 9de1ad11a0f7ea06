// Removes from a program what only debuggers read: symbols, debugging information, section headers (elf(5)).
// Fails on a file that is not a 64-bit little-endian ELF program. amd64 and arm64 programs both are.

/** Offsets and sizes in the ELF header and in a program header, 64 bits: elf(5). */
const HEADER_BYTES = 64
const AT = { programHeaders: 0x20, sectionHeaders: 0x28, entrySize: 0x36, entries: 0x38, sectionCount: 0x3c }
const ENTRY_AT = { offset: 0x08, fileSize: 0x20 }

/**
 * The program up to the end of its last segment, with an empty table of sections. The kernel and the dynamic loader read
 * only segments, and linkers place everything else behind them, so the result runs as before.
 * @throws {Error} if it is no such program
 */
export function withoutSymbols(program: Buffer): Buffer {
  const is64BitLittleEndian = program.subarray(0, 6).equals(Buffer.from('\x7fELF\x02\x01', 'latin1'))
  if (!is64BitLittleEndian) throw new Error('not a 64-bit little-endian ELF program')
  const table = Number(program.readBigUInt64LE(AT.programHeaders))
  const entrySize = program.readUInt16LE(AT.entrySize)
  const ends = Array.from({ length: program.readUInt16LE(AT.entries) }, (_, index) => {
    const entry = program.subarray(table + index * entrySize)
    return Number(entry.readBigUInt64LE(ENTRY_AT.offset)) + Number(entry.readBigUInt64LE(ENTRY_AT.fileSize))
  })
  const short = Buffer.from(program.subarray(0, Math.max(HEADER_BYTES, ...ends)))
  short.writeBigUInt64LE(0n, AT.sectionHeaders)
  // The number of sections, and the index of the one with their names.
  short.writeUInt32LE(0, AT.sectionCount)
  return short
}
