// The fleet's one listening socket. The supervisor binds it; instances inherit it as fd 3, as from a systemd socket unit,
// and accept from it. When the fleet stops, the supervisor accepts too: clients without an instance get 421, not a reset.
//
// Why one socket: with SO_REUSEPORT each process has its own accept queue, and closing it in a drain resets the waiting
// clients. Here all processes share one accept queue, which exists while any process holds the descriptor. The supervisor
// always does. So a client waits while no instance accepts. Clients are refused only before the first instance listens.
//
// Node has no public call that only binds, and a net.Server would accept. So this uses the internal call behind
// net.Server.listen(), which returns the bound handle. The Node version is pinned; this file's test fails if a new one
// lacks the call.
import * as net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { getSystemErrorName } from 'node:util'

const GOODBYE = '421 4.3.2 This server is going down, try another\r\n'
/** How long a client may stay after the 421. */
const GOODBYE_MS = 5_000
/** The accept queue counts as empty after this time without a client. */
const QUIET_MS = 50
/** The longest wait for that. */
const MAX_QUIET_WAIT_MS = 2_000

/** A bound socket that this process does not accept from. */
export type ListeningSocket = {
  /** For a child process's stdio. */
  fd: number
  port: number
  /** From now on the supervisor accepts too, and answers with 421. */
  refuseClients: () => void
  /** Closes this process's descriptor once the accept queue is empty. Instances keep theirs. */
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
 * @throws {Error} with the system's code when the address is in use or not local
 */
export function bindListeningSocket(host: string, port: number): ListeningSocket {
  const { _createServerHandle } = net as unknown as NetInternals
  const handle = _createServerHandle(host, port, net.isIPv6(host) ? 6 : 4)
  if (typeof handle === 'number') throw bindError(host, port, handle)
  // libuv reports EADDRINUSE only at listen(), and an instance would then listen on another port. Here the socket has
  // no name in that case.
  const address: { port?: number } = {}
  const errno = handle.getsockname(address)
  if (errno === 0 && address.port !== undefined) {
    return { fd: handle.fd, port: address.port, ...ending(handle) }
  }
  handle.close()
  throw bindError(host, port, errno)
}

/** How the supervisor ends a bound socket: by closing it, or by answering its clients first. */
function ending(handle: BoundHandle): Pick<ListeningSocket, 'refuseClients' | 'close'> {
  let server: net.Server | undefined
  let accepted = 0
  return {
    refuseClients: () => {
      server ??= net.createServer({ allowHalfOpen: true }, (socket) => {
        accepted += 1
        socket.on('error', () => {})
        // Reads and ignores the client's input: closing with unread bytes would reset the connection.
        socket.setTimeout(GOODBYE_MS, () => socket.destroy())
        socket.resume()
        socket.end(GOODBYE)
      })
      server.on('error', () => {})
      server.listen(handle as unknown as net.ListenOptions)
    },
    close: async () => {
      if (server === undefined) return handle.close()
      const deadlineMs = Date.now() + MAX_QUIET_WAIT_MS
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
