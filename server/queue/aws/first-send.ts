// The first send of a message. Owns: which errors prove that SQS did not take it. Only these are retried.
// After any other error SQS may have the message, and the mail's sender will retry. Fails with the last
// error.
import { withRetry, type BackOff } from '../../../platform/retry.ts'

/**
 * Three attempts. The two pauses average 0.1 and 0.2 s, each 50 % shorter to 50 % longer. They are this short
 * because the mail's sender waits for its reply.
 */
const BACK_OFF: BackOff = { attempts: 3, firstPauseMs: 150, maxPauseMs: 300, jitter: 2 / 3 }

/** No connection was made. */
const NOT_CONNECTED = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL)$/

/** The TLS handshake failed, so nothing was sent over the connection. */
const NO_HANDSHAKE =
  /^(ERR_TLS_CERT_ALTNAME_INVALID|ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_\w*HANDSHAKE_FAILURE|CERT_\w+|UNABLE_TO_\w+|(DEPTH_ZERO_)?SELF_SIGNED_CERT\w*)$/

/** Texts of Node (code ECONNRESET), of OpenSSL (code EPROTO), and of the SDK (name TimeoutError). */
const SAID =
  /before secure TLS connection was established|wrong version number|handshake failure|did not establish a connection/

/** Whether this error proves that SQS did not take the message. */
export function isUnsent(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, $metadata } = error as { code?: unknown; $metadata?: { httpStatusCode?: number } }
  if ($metadata?.httpStatusCode === 503) return true
  const text = typeof code === 'string' ? code : ''
  return NOT_CONNECTED.test(text) || NO_HANDSHAKE.test(text) || SAID.test(error.message)
}

/** Sends up to three times, until SQS has, or may have, taken the message. */
export async function sendFirst(send: () => Promise<unknown>): Promise<void> {
  await withRetry(send, {
    backOff: BACK_OFF,
    afterFailure: (error) => (isUnsent(error) ? 'retry' : 'fail'),
  })
}
