// Proves that a guest is cut off: it cannot reach a live listener on the host, but it reaches the one allowed address.
// The second half shows that the guest has a network at all. Owns the listener.
// Fails by naming what the guest reached, or why the test proves nothing.
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import type { GuestAddress, GuestFacts } from './guest-facts.ts'

/** The address of the host's loopback for a guest with user-mode networking. */
const HOST_FROM_GUEST = '10.0.2.2'

export type LiveListener = {
  /** Its address as the guest sees it. */
  address: GuestAddress
  /** The number of connections that reached it. */
  reached: () => number
  close: () => void
}

/** Opens a listener on the host's loopback and proves that it is live by connecting to it. */
export async function openLiveListener(): Promise<LiveListener> {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.on('error', () => socket.destroy())
    socket.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const own = connect({ host: '127.0.0.1', port })
  await once(own.resume(), 'close')
  if (connections !== 1)
    throw new Error('the listener that is to prove the network cut cannot be reached at all')
  return {
    address: { host: HOST_FROM_GUEST, port },
    reached: () => connections - 1,
    close: () => server.close(),
  }
}

/** The reason why the guest does not count as cut off; null when it does. */
export function cutProblem(
  { attempts }: Pick<GuestFacts, 'attempts'>,
  { allowed, forbidden, reached }: { allowed: GuestAddress; forbidden: GuestAddress; reached: number },
): string | null {
  const outcome = ({ host, port }: GuestAddress) =>
    attempts.find((attempt) => attempt.host === host && attempt.port === port)?.outcome ?? 'never tried'
  const name = ({ host, port }: GuestAddress) => `${host}:${port}`
  if (outcome(allowed) !== 'connected') {
    return `the guest could not reach ${name(allowed)}, which is allowed (${outcome(allowed)}): nothing is proved`
  }
  if (outcome(forbidden) === 'never tried')
    return `the guest did not try ${name(forbidden)}: nothing is proved`
  if (outcome(forbidden) === 'connected' || reached > 0) {
    return `the guest reached a listener on the host, ${name(forbidden)}: its network is not cut off`
  }
  return null
}
