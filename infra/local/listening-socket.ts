// The fleet's one listening socket: bound here, accepted from by the instances, which inherit it as fd 3 just as they
// do from a systemd socket unit. Owns: creating it without ever accepting from it.
// Why one socket: with SO_REUSEPORT each process has a queue of its own, and closing it (a drain) resets whoever
// waits in it. Here all processes share one accept queue; it lives as long as any of them holds the descriptor,
// the supervisor always does, so a client that connects while nobody accepts waits instead of being refused.
// Before the first instance has called listen() clients are refused: the fleet is up only after that.
//
// A net.Server would accept connections itself. Node has no public call that only binds, so this uses the internal
// one behind net.Server.listen(), which returns the bound handle. The Node binary is pinned; the test of this file
// fails if another one has it no longer.
import * as net from 'node:net'
import { getSystemErrorName } from 'node:util'

/** A bound socket that this process does not accept from. */
export type ListeningSocket = {
  /** For the stdio list of a child process. */
  fd: number
  port: number
  /** Gives up this process's share; instances keep theirs. */
  close: () => void
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
    return { fd: handle.fd, port: address.port, close: () => handle.close() }
  }
  handle.close()
  throw bindError(host, port, errno)
}

function bindError(host: string, port: number, errno: number): Error {
  const code = getSystemErrorName(errno)
  return Object.assign(new Error(`cannot bind ${host} port ${port}: ${code}`), { code })
}
