// The destinations of a guest's connections, from QEMU's capture of its network card (libpcap format).
// Owns the rule that tells a connection that the guest opened from an answer. Fails if the file is no capture.
import { readFileSync } from 'node:fs'

/** Enough of a frame for Ethernet, IPv6 and TCP headers without options of IP. */
export const CAPTURE_BYTES = 128

/** QEMU's default address of the card (qemu_macaddr_default_if_unset). */
const GUEST_MAC = '525400123456'

const FILE_HEADER = 24
const RECORD_HEADER = 16
/** The magic number of a little-endian libpcap file with microseconds. */
const MAGIC = 0xa1b2c3d4
const [IPV4, IPV6] = [0x0800, 0x86dd]
const [ICMP, TCP, UDP, ICMPV6] = [1, 6, 17, 58]
const [SYN, ACK] = [0x02, 0x10]

/**
 * The destinations that the guest chose itself, sorted: `tcp HOST:PORT` for a connection that it opened, `udp HOST:PORT`
 * for a datagram, `protocol HOST` otherwise. Answers on connections from outside do not count. Neither does traffic on
 * the local link: ARP and neighbour discovery of IPv6.
 * @throws {Error} if the file is not a capture
 */
export function destinations(file: string): string[] {
  const capture = readFileSync(file)
  if (capture.length < FILE_HEADER || capture.readUInt32LE(0) !== MAGIC)
    throw new Error(`${file} is not a capture of a network card`)
  const found = new Set<string>()
  for (let at = FILE_HEADER; at + RECORD_HEADER <= capture.length;) {
    const bytes = capture.readUInt32LE(at + 8)
    const frame = capture.subarray(at + RECORD_HEADER, at + RECORD_HEADER + bytes)
    at += RECORD_HEADER + bytes
    if (frame.subarray(6, 12).toString('hex') !== GUEST_MAC) continue
    const destination = destinationOf(frame)
    if (destination !== null) found.add(destination)
  }
  return [...found].sort()
}

/** Null for a frame that starts no connection. Frames: IEEE 802.3, RFC 791 section 3.1, RFC 8200 section 3. */
function destinationOf(frame: Buffer): string | null {
  const type = frame.readUInt16BE(12)
  if (type === IPV4) {
    const header = 14 + (frame.readUInt8(14) & 0x0f) * 4
    return begun(frame.subarray(header), frame.readUInt8(23), frame.subarray(30, 34).join('.'))
  }
  if (type !== IPV6) return null
  const to = frame.subarray(38, 54)
  const groups = Array.from({ length: 8 }, (_, i) => to.readUInt16BE(2 * i).toString(16)).join(':')
  const protocol = frame.readUInt8(20)
  // Neighbour discovery and group membership, the latter behind a hop-by-hop header (RFC 3810 section 5).
  const ofTheLink = to.readUInt8(0) === 0xff && (protocol === ICMPV6 || protocol === 0)
  return ofTheLink ? null : begun(frame.subarray(54), protocol, `[${groups}]`)
}

function begun(segment: Buffer, protocol: number, host: string): string | null {
  if (protocol === UDP) return `udp ${host}:${segment.readUInt16BE(2)}`
  if (protocol !== TCP) return protocol === ICMP ? `icmp ${host}` : `protocol ${protocol} ${host}`
  const flags = segment.readUInt8(13)
  return (flags & SYN) !== 0 && (flags & ACK) === 0 ? `tcp ${host}:${segment.readUInt16BE(2)}` : null
}
