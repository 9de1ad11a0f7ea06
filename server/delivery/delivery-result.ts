// The result of an attempt at one destination, as a value. Pure. Owns: the mapping from SMTP replies and connection errors
// to results. Permanent failures are 5yz replies, DNS answers that a name does not exist, and messages that the host
// announced it would refuse. Every other error is retried.
import { truncated } from '../address.ts'

/** Why a destination is deferred. */
export type Cause = 'dns' | 'connect' | 'remote' | 'local'

export type DeliveryResult =
  | { kind: 'delivered'; reply: string; status: string; remoteHost: string }
  | { kind: 'deferred'; why: Cause; reply: string; status: string; remoteHost: string }
  | { kind: 'failed'; reply: string; status: string; remoteHost: string }

/** Longest reply that the queue, the DSN and the log keep. A reply line has at most 512 octets (RFC 5321). */
const REPLY_CHARS = 500

/** The fields of nodemailer's errors that this code reads. */
export type SendError = {
  message: string
  code?: string | undefined
  response?: string | false | undefined
  recipient?: string | undefined
  rejectedErrors?: SendError[] | undefined
}

export function delivered(reply: string, remoteHost: string): DeliveryResult {
  return { kind: 'delivered', reply: shortReply(reply), status: statusOf(reply) ?? '2.0.0', remoteHost }
}

export function deferred(why: Cause, reply: string, status: string, remoteHost = ''): DeliveryResult {
  return { kind: 'deferred', why, reply: shortReply(reply), status, remoteHost }
}

export function failed(reply: string, status: string, remoteHost = ''): DeliveryResult {
  return { kind: 'failed', reply: shortReply(reply), status, remoteHost }
}

/**
 * 503 is about the session, not the message, so a retry may succeed. A text that is no SMTP reply is never permanent.
 */
const PERMANENT = /^5(?!03)\d\d(?!\d)/

/** The result of a send that failed with `error`. */
export function resultOfError(error: SendError, remoteHost: string): DeliveryResult {
  const { response } = error
  if (typeof response === 'string') {
    const status = statusOf(response)
    if (PERMANENT.test(response)) return failed(response, status ?? '5.0.0', remoteHost)
    return deferred('remote', response, status?.startsWith('4') === true ? status : '4.0.0', remoteHost)
  }
  // Without a reply: nodemailer itself refused what the host announced it would refuse, or cannot take.
  if (error.code === 'EMESSAGE') return failed(error.message, '5.3.4', remoteHost)
  if (error.code === 'EENVELOPE') return failed(error.message, '5.1.3', remoteHost)
  // RFC 3463: 4.4.1 no answer from host, 4.4.2 bad connection.
  return deferred('connect', error.message, remoteHost === '' ? '4.4.1' : '4.4.2', remoteHost)
}

/** The enhanced status code (RFC 3463) at the start of a reply's text, if its class matches the reply. */
export function statusOf(reply: string): string | null {
  const [, code, status] = /^([245])\d\d[ -](?:([245]\.\d{1,3}\.\d{1,3})(?![\d.]))?/.exec(reply) ?? []
  return status !== undefined && status[0] === code ? status : null
}

function shortReply(reply: string): string {
  return truncated(reply, REPLY_CHARS)
}
