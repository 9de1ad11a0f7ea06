// The fleet's one listening socket: bound here, accepted from by the instances, which inherit it as fd 3 just as they
// do from a systemd socket unit. Owns: creating it, and accepting from it only at the end: once the instances drain, the
// clients in the accept queue hear 421 instead of a reset.
// Why one socket: with SO_REUSEPORT each process has a queue of its own, and closing it (a drain) resets whoever
// waits in it. Here all processes share one accept queue; it lives as long as any of them holds the descriptor,
// the supervisor always does, so a client that connects while nobody accepts waits instead of being refused.
// Before the first instance has called listen() clients are refused: the fleet is up only after that.
//
// A net.Server would accept connections itself. Node has no public call that only binds, so this uses the internal
// one behind net.Server.listen(), which returns the bound handle. The Node binary is pinned; the test of this file
// fails if another one has it no longer.
import * as net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { getSystemErrorName } from 'node:util'

const GOODBYE = '421 4.3.2 This server is going down, try another\r\n'
/** How long a client that was told goodbye may stay. */
const GOODBYE_MS = 5_000
/** The accept queue is empty once so long has passed without a client. */
const QUIET_MS = 50
/** How long clients may keep it busy. */
const QUIET_BOUND_MS = 2_000

/** A bound socket that this process does not accept from. */
export type ListeningSocket = {
  /** For the stdio list of a child process. */
  fd: number
  port: number
  /** From now on clients that no instance accepts hear 421. */
  answer: () => void
  /** Gives up this process's share, once the accept queue is empty; instances keep theirs. */
  close: () => Promise<void>
}

type BoundHandle = {
  fd: number
  getsockname: (into: { port?: number }) => number
  close: () => void
}

type NetInternals = {
  /** Returns a bound handle, or libuv's negative error number. */
  _createServerHandle: (host: string, port: number, addressType: 4 | 6) => BoundHandle | number
}

/**
 * Binds a TCP socket.
 * @param host an IP address
 * @param port 0 for a free one
 * @throws {Error} with the system's code when the address is taken or not ours
 */
export function bindListeningSocket(host: string, port: number): ListeningSocket {
  const { _createServerHandle } = net as unknown as NetInternals
  const handle = _createServerHandle(host, port, net.isIPv6(host) ? 6 : 4)
  if (typeof handle === 'number') throw bindError(host, port, handle)
  // libuv keeps EADDRINUSE back until listen(); an instance would then listen on some other port. Here it shows as
  // a socket without a name.
  const address: { port?: number } = {}
  const errno = handle.getsockname(address)
  if (errno === 0 && address.port !== undefined) {
    return { fd: handle.fd, port: address.port, ...ending(handle) }
  }
  handle.close()
  throw bindError(host, port, errno)
}

/** The two ways to give up a bound socket: as it is, or after its clients have been answered. */
function ending(handle: BoundHandle): Pick<ListeningSocket, 'answer' | 'close'> {
  let server: net.Server | undefined
  let accepted = 0
  return {
    answer: () => {
      server ??= net.createServer({ allowHalfOpen: true }, (socket) => {
        accepted += 1
        socket.on('error', () => {})
        // What the client still sends is read and ignored: unread bytes would become a reset.
        socket.setTimeout(GOODBYE_MS, () => socket.destroy())
        socket.resume()
        socket.end(GOODBYE)
      })
      server.on('error', () => {})
      server.listen(handle as unknown as net.ListenOptions)
    },
    close: async () => {
      if (server === undefined) return handle.close()
      const deadlineMs = Date.now() + QUIET_BOUND_MS
      let before = -1
      while (before !== accepted && Date.now() < deadlineMs) {
        before = accepted
        await sleep(QUIET_MS)
      }
      server.close()
    },
  }
}

function bindError(host: string, port: number, errno: number): Error {
  const code = getSystemErrorName(errno)
  return Object.assign(new Error(`cannot bind ${host} port ${port}: ${code}`), { code })
}
