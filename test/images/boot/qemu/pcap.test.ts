// Reads a guest's peers from handmade frames.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { destinations } from '../../../../images/boot/qemu/pcap.ts'

const folder = mkdtempSync(join(tmpdir(), 'mailfleet-pcap-'))
after(() => rmSync(folder, { recursive: true }))

const GUEST = '525400123456'
const OTHER = '52550a000202'
const [SYN, ACK] = [0x02, 0x10]

function capture(...frames: Buffer[]): string {
  const header = Buffer.alloc(24)
  header.writeUInt32LE(0xa1b2c3d4, 0)
  const records = frames.map((frame) => {
    const record = Buffer.alloc(16)
    record.writeUInt32LE(frame.length, 8)
    record.writeUInt32LE(frame.length, 12)
    return Buffer.concat([record, frame])
  })
  const file = join(folder, 'frames.pcap')
  writeFileSync(file, Buffer.concat([header, ...records]))
  return file
}

const ethernet = (from: string, type: number, payload: Buffer) =>
  Buffer.concat([Buffer.from(`ffffffffffff${from}`, 'hex'), Buffer.from([type >> 8, type & 255]), payload])

function ipv4(to: string, protocol: number, payload: Buffer, from = GUEST): Buffer {
  const header = Buffer.alloc(24)
  // Six words, because the header has an option: the parser must use the header's length.
  header.writeUInt8(0x46, 0)
  header.writeUInt8(protocol, 9)
  Buffer.from(to.split('.').map(Number)).copy(header, 16)
  return ethernet(from, 0x0800, Buffer.concat([header, payload]))
}

function ipv6(to: string, protocol: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(40)
  header.writeUInt8(protocol, 6)
  Buffer.from(to, 'hex').copy(header, 24)
  return ethernet(GUEST, 0x86dd, Buffer.concat([header, payload]))
}

function segment(port: number, flags = 0): Buffer {
  const bytes = Buffer.alloc(20)
  bytes.writeUInt16BE(port, 2)
  bytes.writeUInt8(flags, 13)
  return bytes
}

test('what a guest begins is named once, what it answers is not', () => {
  const file = capture(
    ipv4('10.0.2.100', 6, segment(2526, SYN)),
    ipv4('10.0.2.100', 6, segment(2526, SYN)),
    ipv4('10.0.2.2', 6, segment(40_000, SYN | ACK)),
    ipv4('10.0.2.2', 6, segment(40_000, ACK)),
    ipv4('10.0.2.15', 6, segment(25, SYN), OTHER),
    ipv4('255.255.255.255', 17, segment(67)),
    ipv4('192.0.2.7', 1, Buffer.alloc(8)),
    ipv4('192.0.2.8', 47, Buffer.alloc(8)),
    ethernet(GUEST, 0x0806, Buffer.alloc(28)),
  )
  assert.deepEqual(destinations(file), [
    'icmp 192.0.2.7',
    'protocol 47 192.0.2.8',
    'tcp 10.0.2.100:2526',
    'udp 255.255.255.255:67',
  ])
})

test('IPv6: a connection is named, neighbour discovery is not', () => {
  const router = 'ff020000000000000000000000000002'
  const host = '20010db8000000000000000000000007'
  const file = capture(
    ipv6(router, 58, Buffer.alloc(8)),
    ipv6('ff020000000000000000000000000016', 0, Buffer.alloc(8)),
    ipv6(host, 6, segment(443, SYN)),
    ipv6(host, 58, Buffer.alloc(8)),
  )
  assert.deepEqual(destinations(file), [
    'protocol 58 [2001:db8:0:0:0:0:0:7]',
    'tcp [2001:db8:0:0:0:0:0:7]:443',
  ])
})

test('another file is refused', () => {
  const file = join(folder, 'other')
  writeFileSync(file, 'not a capture, but longer than its header')
  assert.throws(() => destinations(file), /is not a capture/)
})
