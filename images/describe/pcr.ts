// Reference values of measured boot: the TPM's registers after an image has booted, computed from its unified kernel image.
// Owns: PCR 4 (loaded images), PCR 7 (Secure Boot off, no keys) and PCR 12 (additions to the command line: none). They hold
// for firmware without enrolled keys, EC2's default. Fails on a file that is no 64-bit PE file.
import { createHash } from 'node:crypto'

export const PCR_BANKS = ['sha256', 'sha384'] as const
export type PcrBank = (typeof PCR_BANKS)[number]
export type PcrValues = Record<'4' | '7' | '12', string>

/** The action that the firmware measures before a boot option (PC Client Platform Firmware Profile, 8.2.4). */
const CALLING = 'Calling EFI Application from Boot Option'
/** EV_SEPARATOR: four zero bytes between the firmware's events and the system's. */
const SEPARATOR = Buffer.alloc(4)

/**
 * PCR 4, 7 and 12 in hex.
 * PCR 7: the firmware's Secure Boot variables, then the separator.
 * PCR 4: the firmware's action and separator, the image as the firmware loads it, and the kernel in it. systemd's stub
 * before version 258 loads the kernel through the firmware when Secure Boot is off.
 */
export function pcrValues(uki: Buffer, bank: PcrBank): PcrValues {
  const hash = (bytes: Buffer | string) => createHash(bank).update(bytes).digest()
  const size = hash('').length
  const events = [
    hash(CALLING),
    hash(SEPARATOR),
    authenticodeHash(uki, bank),
    authenticodeHash(kernelOf(uki), bank),
  ]
  const extend = (all: readonly Buffer[]) =>
    all.reduce((value, event) => hash(Buffer.concat([value, event])), Buffer.alloc(size)).toString('hex')
  const variables = SECURE_BOOT_OFF.map((variable) => hash(variableData(...variable)))
  return {
    '4': extend(events),
    '7': extend([...variables, hash(SEPARATOR)]),
    '12': Buffer.alloc(size).toString('hex'),
  }
}

const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
const DATABASE = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
/** The variables in their order (PC Client Platform Firmware Profile, 3.3.4.8), with their values without keys. */
const SECURE_BOOT_OFF: readonly [string, string, Buffer][] = [
  [GLOBAL, 'SecureBoot', Buffer.from([0])],
  [GLOBAL, 'PK', Buffer.alloc(0)],
  [GLOBAL, 'KEK', Buffer.alloc(0)],
  [DATABASE, 'db', Buffer.alloc(0)],
  [DATABASE, 'dbx', Buffer.alloc(0)],
]

/** UEFI_VARIABLE_DATA: the GUID with its first three fields little-endian, two lengths, the name in UTF-16, the data. */
function variableData(guid: string, name: string, data: Buffer): Buffer {
  const bytes = Buffer.from(guid.replaceAll('-', ''), 'hex')
  const fields = [bytes.subarray(0, 4), bytes.subarray(4, 6), bytes.subarray(6, 8)]
  const lengths = Buffer.alloc(16)
  lengths.writeBigUInt64LE(BigInt(name.length), 0)
  lengths.writeBigUInt64LE(BigInt(data.length), 8)
  const mixed = [...fields.map((field) => Buffer.from(field).reverse()), bytes.subarray(8)]
  return Buffer.concat([...mixed, lengths, Buffer.from(name, 'utf16le'), data])
}

type Section = { name: string; virtualSize: number; rawSize: number; rawAt: number }
type Pe = { checksumAt: number; certificateEntryAt: number; headersSize: number; sections: Section[] }

/** Microsoft's PE Format: the optional header of PE32+, its data directories, the table of sections. */
function readPe(image: Buffer): Pe {
  const peAt = image.length > 64 ? image.readUInt32LE(0x3c) : image.length
  const isPe = peAt + 264 < image.length && image.readUInt32LE(peAt) === 0x4550
  if (!isPe || image.readUInt16LE(peAt + 24) !== 0x20b) throw new Error('not a PE file of 64 bits')
  const optionalAt = peAt + 24
  const tableAt = optionalAt + image.readUInt16LE(peAt + 20)
  const sections = Array.from({ length: image.readUInt16LE(peAt + 6) }, (_, index) => {
    const at = tableAt + index * 40
    return {
      name: image.toString('latin1', at, at + 8).split('\0', 1)[0] ?? '',
      virtualSize: image.readUInt32LE(at + 8),
      rawSize: image.readUInt32LE(at + 16),
      rawAt: image.readUInt32LE(at + 20),
    }
  })
  return {
    checksumAt: optionalAt + 64,
    certificateEntryAt: optionalAt + 112 + 4 * 8,
    sections,
    headersSize: image.readUInt32LE(optionalAt + 60),
  }
}

/** Windows Authenticode Portable Executable Signature Format, "Calculating the PE Image Hash". */
export function authenticodeHash(image: Buffer, bank: PcrBank): Buffer {
  const { checksumAt, certificateEntryAt, headersSize, sections } = readPe(image)
  const hash = createHash(bank)
  hash.update(image.subarray(0, checksumAt))
  hash.update(image.subarray(checksumAt + 4, certificateEntryAt))
  hash.update(image.subarray(certificateEntryAt + 8, headersSize))
  let hashed = headersSize
  for (const { rawAt, rawSize } of sections.toSorted((a, b) => a.rawAt - b.rawAt)) {
    hash.update(image.subarray(rawAt, rawAt + rawSize))
    hashed += rawSize
  }
  const certificates = image.readUInt32LE(certificateEntryAt + 4)
  if (image.length - certificates > hashed) hash.update(image.subarray(hashed, image.length - certificates))
  return hash.digest()
}

function kernelOf(uki: Buffer): Buffer {
  const section = readPe(uki).sections.find(({ name }) => name === '.linux')
  if (!section) throw new Error('the unified kernel image has no section .linux')
  return uki.subarray(section.rawAt, section.rawAt + Math.min(section.virtualSize, section.rawSize))
}
