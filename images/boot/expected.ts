// The ports a guest may listen on, and the addresses it may connect to. Pure.
// Owns these lists: a change of the image that opens a port or connects to an address also changes them.
import type { GuestFacts } from './guest-facts.ts'
import { FACTS_PORT, unitsOfImage } from './guest-facts.ts'
import { ADMIN_PORT, SMTP_PORT } from '../../contract/ports.ts'
import { RELAY_FROM_GUEST } from './server-credentials.ts'

/** The two stub listeners of systemd-resolved. */
const STUBS = ['127.0.0.53', '127.0.0.54']
const DNS = 53
const DHCP_CLIENT = 68
/** Linux gives ports from here on to sockets without a port of their own (net.ipv4.ip_local_port_range, default). */
const EPHEMERAL = 32_768

/** Amazon Time Sync Service (EC2 user guide, "Set the time reference"). */
const NTP = 'udp 169.254.169.123:123'
/** A DHCP client's broadcasts, and its renewals to QEMU's server. */
const DHCP = ['udp 255.255.255.255:67', 'udp 10.0.2.2:67', 'udp [ff02:0:0:0:0:0:1:2]:547']

/** The problems in the facts of a guest; empty when there are none. */
export function factProblems(facts: GuestFacts): string[] {
  const { server, foreign } = facts
  return [
    ...unitsOfImage(facts).failed.map((unit) => `the unit ${unit} failed`),
    ...listeningOfImage(facts)
      .filter((socket) => !isExpected(socket))
      .map(
        ({ protocol, address, port }) => `it listens on ${protocol} ${address}:${port}, which nobody named`,
      ),
    ...foreign.map((program) => `it has ${program}, which could install something or let somebody in`),
    ...(server.restarts === 0 ? [] : [`its server was started again ${server.restarts} times`]),
    ...(server.memoryDenyWriteExecute ? ["MemoryDenyWriteExecute would kill the server's JIT"] : []),
    ...(server.environment.includes('UV_USE_IO_URING=0')
      ? []
      : ['io_uring is not turned off for the server']),
  ]
}

/** The guest's listening sockets, without those of the test. */
export function listeningOfImage({ listening }: GuestFacts): GuestFacts['listening'] {
  return listening.filter(({ port }) => port !== FACTS_PORT)
}

function isExpected({ protocol, address, port }: GuestFacts['listening'][number]): boolean {
  if (port === DNS) return STUBS.includes(address)
  if (protocol === 'tcp') return port === SMTP_PORT || port === ADMIN_PORT
  return port === DHCP_CLIENT || port >= EPHEMERAL
}

/** The destinations that a guest may not have, in the form of pcap.ts. `attempted`: those that the test made it try. */
export function unexpectedDestinations(destinations: readonly string[], attempted: string): string[] {
  const { host, port } = RELAY_FROM_GUEST
  const allowed = [`tcp ${host}:${port}`, `tcp ${attempted}`, NTP, ...DHCP]
  return destinations
    .filter((destination) => !allowed.includes(destination))
    .map((destination) => `it began to speak to ${destination}`)
}
