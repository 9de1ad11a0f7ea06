// The mirror for an instance that installs at boot. It serves apt, npm tarballs and the server by HTTP on loopback.
// Owns the HTTP server and the count of requests. Fails only if it cannot listen; a missing file is a 404.
import { createReadStream, statSync } from 'node:fs'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'

/** Request path, as sent and with its first slash → a local file, or the content itself. */
export type Served = ReadonlyMap<string, string | Buffer>

export type Mirror = {
  port: number
  /** Paths requested so far, in order, including those that were not found. */
  requests: readonly string[]
  close: () => Promise<void>
}

/** Starts a mirror on a free port of 127.0.0.1. */
export async function startMirror(served: Served): Promise<Mirror> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://mirror').pathname
    requests.push(path)
    const found = served.get(path)
    if (found === undefined) {
      response.writeHead(404, { 'content-length': 0 }).end()
    } else if (typeof found === 'string') {
      response.writeHead(200, { 'content-length': statSync(found).size })
      // A guest that is switched off breaks its connection.
      pipeline(createReadStream(found), response).catch(() => response.destroy())
    } else {
      response.writeHead(200, { 'content-length': found.length }).end(found)
    }
  })
  server.on('clientError', (_error, socket) => socket.destroy())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
  return { port, requests, close }
}
