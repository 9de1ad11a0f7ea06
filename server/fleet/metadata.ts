// A client of the EC2 instance metadata service, version 2. Owns: the session token that every request needs, and the
// limits on time and size. A missing path gives null; any other failure throws, and the next call tries again. The SDK's
// client does not fit: after one refused or slow token request it never asks for a token again.
// Source: Amazon EC2 user guide, "Use the Instance Metadata Service to access instance metadata".
import { request } from 'node:http'

export type Metadata = {
  /** The text at `path`, below /latest/; null if there is none (404). @throws {Error} when the service fails. */
  get: (path: string) => Promise<string | null>
}

/** The environment variable that also gives the SDK another address. */
export const ENDPOINT_VARIABLE = 'AWS_EC2_METADATA_SERVICE_ENDPOINT'

const ENDPOINT = 'http://169.254.169.254'

/** The longest lifetime of a token. It is renewed after half of it. */
const TOKEN_SECONDS = 21_600

/** The service is on the same machine: it answers within milliseconds, or is not there yet. */
const ANSWER_MS = 2_000

/** User data is the longest text: 16 KiB. */
const MOST_BYTES = 65_536

/** @param endpoint by default from the environment, else EC2's address */
export function createMetadata(endpoint = process.env[ENDPOINT_VARIABLE] ?? ENDPOINT): Metadata {
  let token: { text: string; renewMs: number } | null = null

  async function currentToken(): Promise<string> {
    if (token !== null && token.renewMs > Date.now()) return token.text
    const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': `${TOKEN_SECONDS}` }
    const { status, text } = await ask(new URL('/latest/api/token', endpoint), 'PUT', headers)
    if (status !== 200) throw new Error(`the metadata service gives no token (HTTP ${status})`)
    token = { text, renewMs: Date.now() + (TOKEN_SECONDS * 1_000) / 2 }
    return text
  }

  async function get(path: string, again = true): Promise<string | null> {
    const headers = { 'x-aws-ec2-metadata-token': await currentToken() }
    const { status, text } = await ask(new URL(`/latest/${path}`, endpoint), 'GET', headers)
    if (status === 200) return text
    if (status === 404) return null
    token = null
    // A token ends when the instance stops, whatever its lifetime.
    if (status === 401 && again) return get(path, false)
    throw new Error(`the metadata service does not tell ${path} (HTTP ${status})`)
  }

  return { get: (path) => get(path) }
}

function ask(
  url: URL,
  method: string,
  headers: Record<string, string>,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(ANSWER_MS)
    const fail = (cause: Error) => {
      const why = signal.aborted ? `no answer within ${ANSWER_MS} ms` : cause.message
      reject(new Error(`the metadata service does not answer: ${why}`, { cause }))
    }
    const asked = request(url, { method, headers, signal, agent: false }, (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > MOST_BYTES) response.destroy(new Error(`an answer of more than ${MOST_BYTES} bytes`))
        else chunks.push(chunk)
      })
      response.on('error', fail)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      )
    })
    asked.on('error', fail)
    asked.end()
  })
}
