// Requests to an instance's admin endpoint over its Unix socket, bounded in time and size.
// Each failure gives undefined: no socket yet, no response in time, a broken or too long one. The caller interprets it.
import { request } from 'node:http'

/** Far above the 10 KB of a /metrics page. */
const MAX_BODY_BYTES = 1024 * 1024

export type AdminResponse = { status: number; body: string }

/**
 * GET `path` on the unix socket `socketPath`.
 * @param timeoutMs for the whole exchange
 */
export function getAdmin(
  socketPath: string,
  path: string,
  timeoutMs: number,
): Promise<AdminResponse | undefined> {
  return new Promise((resolve) => {
    const sent = request({ socketPath, path, agent: false, signal: AbortSignal.timeout(timeoutMs) })
    sent.on('error', () => resolve(undefined))
    sent.on('response', (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        body += chunk
        if (body.length > MAX_BODY_BYTES) response.destroy()
      })
      response.on('error', () => resolve(undefined))
      response.on('close', () => {
        resolve(response.complete ? { status: response.statusCode ?? 0, body } : undefined)
      })
    })
    sent.end()
  })
}
