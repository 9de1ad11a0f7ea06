// HTTP over a Unix socket, for tests of the admin endpoint. Rejects when nothing listens on it.
import { request } from 'node:http'

/** GET over a Unix socket. */
export function getOverSocket(
  socketPath: string,
  path: string,
  method = 'GET',
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, method, agent: false }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    asked.on('error', reject)
    asked.end()
  })
}
