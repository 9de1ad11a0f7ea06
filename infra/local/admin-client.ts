// Asking an instance over its admin socket: one GET, bounded in time and size.
// Owns: the request. Whatever goes wrong (no socket yet, no answer in time, a broken or too long one) is one answer:
// undefined. The caller decides what silence means.
import { request } from 'node:http'

/** A /metrics page of this server has some 10 KB; 1 MiB is a bound, not a size. */
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
    const asked = request({ socketPath, path, agent: false, signal: AbortSignal.timeout(timeoutMs) })
    asked.on('error', () => resolve(undefined))
    asked.on('response', (response) => {
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
    asked.end()
  })
}
