// How an attempt at one destination ended, as a value.
// Owns: reading SMTP replies and connection errors into outcomes. Pure. Only a 5yz reply of the remote host, or an
// answer of DNS that says there is no such place, is a failure; everything else may go better later.
import { truncated } from '../address.ts'

/** Why a destination is to be tried again. */
export type Cause = 'dns' | 'connect' | 'remote' | 'local'

export type DeliveryResult =
  | { kind: 'delivered'; reply: string; status: string; remoteHost: string }
  | { kind: 'deferred'; why: Cause; reply: string; status: string; remoteHost: string }
  | { kind: 'failed'; reply: string; status: string; remoteHost: string }

/** Longest reply kept: the queue, the DSN and the log hold it. A reply line has at most 512 octets (RFC 5321). */
const REPLY_CHARS = 500

/** What nodemailer's errors carry, as far as it is looked at. */
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

/** 503 is about the session, not the message: that may go better. What is no reply at all says nothing for good. */
const PERMANENT = /^5(?!03)\d\d(?!\d)/

/** The outcome that an error while sending means. */
export function resultOfError(error: SendError, remoteHost: string): DeliveryResult {
  const { response } = error
  if (typeof response === 'string') {
    const status = statusOf(response)
    if (PERMANENT.test(response)) return failed(response, status ?? '5.0.0', remoteHost)
    return deferred('remote', response, status?.startsWith('4') === true ? status : '4.0.0', remoteHost)
  }
  // No reply: nodemailer refused by itself what the remote host announced it would refuse, or cannot take.
  if (error.code === 'EMESSAGE') return failed(error.message, '5.3.4', remoteHost)
  if (error.code === 'EENVELOPE') return failed(error.message, '5.1.3', remoteHost)
  // RFC 3463: 4.4.1 no answer from host, 4.4.2 bad connection.
  return deferred('connect', error.message, remoteHost === '' ? '4.4.1' : '4.4.2', remoteHost)
}

/** The enhanced status code (RFC 3463) at the start of a reply's text, if its class fits the reply. */
export function statusOf(reply: string): string | null {
  const [, code, status] = /^([245])\d\d[ -](?:([245]\.\d{1,3}\.\d{1,3})(?![\d.]))?/.exec(reply) ?? []
  return status !== undefined && status[0] === code ? status : null
}

function shortReply(reply: string): string {
  return truncated(reply, REPLY_CHARS)
}
