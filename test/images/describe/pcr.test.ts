// Reference values of measured boot. PCR 7 was read from the TPM of a machine (OVMF, no keys enrolled). PCR 4 is computed for
// a made file by the specification's rules, because no image's bytes are kept.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { authenticodeHash, pcrValues } from '../../../images/describe/pcr.ts'

/** A PE32+ file of 1 KiB of headers and one section. */
function pe(name: string, content: Buffer): Buffer {
  const head = Buffer.alloc(1024)
  head.write('MZ')
  head.writeUInt32LE(64, 0x3c)
  head.write('PE\0\0', 64, 'latin1')
  head.writeUInt16LE(1, 70)
  head.writeUInt16LE(240, 84)
  head.writeUInt16LE(0x20b, 88)
  head.writeUInt32LE(1024, 88 + 60)
  head.write(name, 88 + 240, 'latin1')
  head.writeUInt32LE(content.length, 88 + 248)
  head.writeUInt32LE(content.length, 88 + 256)
  head.writeUInt32LE(1024, 88 + 260)
  return Buffer.concat([head, content])
}

const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest()

test('the hash of a PE file leaves out checksum, certificate entry and certificates', () => {
  const plain = pe('.text', Buffer.from('code'))
  const expected = authenticodeHash(plain, 'sha256')
  const without = [plain.subarray(0, 152), plain.subarray(156, 232), plain.subarray(240)]
  assert.deepEqual(expected, sha256(Buffer.concat(without)))
  const signed = Buffer.concat([plain, Buffer.from('certificate')])
  signed.writeUInt32LE(0xabcd, 152)
  signed.writeUInt32LE(plain.length, 232)
  signed.writeUInt32LE(11, 236)
  assert.deepEqual(authenticodeHash(signed, 'sha256'), expected)
  assert.notDeepEqual(authenticodeHash(Buffer.concat([plain, Buffer.from('more')]), 'sha256'), expected)
})

test('PCR 4 is the action, the separator, the image and the kernel in it; 7 and 12 do not depend on the image', () => {
  const kernel = pe('.text', Buffer.from('kernel'))
  const uki = pe('.linux', kernel)
  const events = [
    sha256('Calling EFI Application from Boot Option'),
    sha256(Buffer.alloc(4)),
    authenticodeHash(uki, 'sha256'),
    authenticodeHash(kernel, 'sha256'),
  ]
  const expected = events.reduce((value, event) => sha256(Buffer.concat([value, event])), Buffer.alloc(32))
  assert.deepEqual(pcrValues(uki, 'sha256'), {
    '4': expected.toString('hex'),
    '7': '65caf8dd1e0ea7a6347b635d2b379c93b9a1351edc2afc3ecda700e534eb3068',
    '12': '0'.repeat(64),
  })
  assert.equal(pcrValues(uki, 'sha384')['4'].length, 96)
})

test('a file that is no PE file or has no kernel is an error', () => {
  assert.throws(() => pcrValues(Buffer.from('x'), 'sha256'), /not a PE file/)
  assert.throws(() => pcrValues(pe('.text', Buffer.from('x')), 'sha256'), /no section \.linux/)
})
