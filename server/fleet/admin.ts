// The admin endpoint: /metrics, /healthz and /readyz over HTTP, on a port or a Unix socket. Owns: what "healthy" and
// "ready" mean. Healthy looks only at this instance (its event loop answers, its spool is writable), since a shared outage
// must replace no instance. Ready also means that the instance takes mail now.
import { HEALTH_PATH, METRICS_PATH, READY_PATH } from '../../contract/admin-paths.ts'
import { constants } from 'node:fs'
import { access, unlink } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Config } from '../config/schema.ts'
import { errorFields, type Log } from '../log.ts'

/** Scrapers and the control loop need a handful. More connections are a mistake or an attack. */
const MAX_CONNECTIONS = 64

/** A request here is one line and a few headers. */
const REQUEST_MS = 5_000

/** Why the check fails; null when it passes. */
export type Check = () => string | null | Promise<string | null>

export type AdminOptions = {
  listen: Config['listen']['admin']
  scrape: () => Promise<{ contentType: string; text: string }>
  healthy: Check
  ready: Check
  log: Log
}

export type Admin = { address: { host: string; port: number } | { socket: string }; close: () => void }

/** Starts serving. @throws when the address is in use, or binding to it is not allowed. */
export async function startAdmin({ listen, scrape, healthy, ready, log }: AdminOptions): Promise<Admin> {
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', 'http://admin').pathname
    if (request.method !== 'GET' && request.method !== 'HEAD') return reply(response, 405, 'only GET')
    if (path === METRICS_PATH) {
      const { contentType, text } = await scrape()
      return reply(response, 200, text, contentType)
    }
    if (path !== HEALTH_PATH && path !== READY_PATH) return reply(response, 404, 'no such page')
    const problem = await (path === HEALTH_PATH ? healthy : ready)()
    return reply(response, problem === null ? 200 : 503, problem ?? 'ok')
  }

  const server = createServer(
    { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS },
    (request, response) => {
      answer(request, response).catch((error: unknown) => {
        log('admin-failed', errorFields(error))
        reply(response, 500, 'internal error')
      })
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  // Removes the socket file that a killed instance left behind.
  if (listen.socket !== undefined) await unlink(listen.socket).catch(() => {})
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    const target =
      listen.socket === undefined ? { host: listen.host, port: listen.port } : { path: listen.socket }
    server.listen(target as { host: string; port: number } | { path: string }, resolve)
  })
  const bound = server.address()
  return {
    address:
      listen.socket === undefined && bound !== null && typeof bound === 'object'
        ? { host: bound.address, port: bound.port }
        : { socket: listen.socket ?? '' },
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

function reply(
  response: ServerResponse,
  status: number,
  text: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  if (response.headersSent) return
  response.writeHead(status, { 'content-type': contentType })
  response.end(text.endsWith('\n') ? text : `${text}\n`)
}

/** Checks that the spool directory is writable. A file system that went read-only after an error is not. */
export async function spoolWritable(path: string): Promise<string | null> {
  try {
    await access(path, constants.W_OK)
    return null
  } catch (error) {
    return `spool not writable: ${(error as NodeJS.ErrnoException).code ?? String(error)}`
  }
}
