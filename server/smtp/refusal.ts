// Refusals as values: the SMTP reply and the reason for the metrics. Owns: every reply text that is not smtp-server's.
// Load, a missing dependency or an internal error gives a 4xx, so that the sender retries. A 5xx is permanent.
import type { RefusalReason } from '../metrics.ts'

export type SmtpRefusal = { code: number; text: string; reason: RefusalReason }

/** A refusal as an error object for smtp-server's callbacks. */
export function refusalError({ code, text }: SmtpRefusal): Error & { responseCode: number } {
  return Object.assign(new Error(text), { responseCode: code })
}

const refusal = (reason: RefusalReason, code: number, text: string): SmtpRefusal => ({ code, text, reason })

export const refusals = {
  draining: refusal('draining', 421, '4.3.2 This server is going down, try another'),
  tooManyConnections: refusal('sessions', 421, '4.3.2 Too many connections, try again later'),
  tooManyFromClient: refusal('client-connections', 421, '4.7.0 Too many connections from your address'),
  tooManyRejected: refusal('unknown-alias', 421, '4.7.0 Too many unknown recipients'),
  backlog: refusal('backlog', 451, '4.3.2 Too much mail waiting, try again later'),
  queueFull: refusal('queue-full', 452, '4.3.1 Queue full, try again later'),
  memoryFull: refusal('memory', 452, '4.3.1 Too many messages arriving at once, try again later'),
  queueDown: refusal('queue', 451, '4.3.0 Queue not available, try again later'),
  routesDown: refusal('routes-unavailable', 451, '4.3.0 Alias look-up not available, try again later'),
  internal: refusal('error', 451, '4.3.0 Internal error, try again later'),
  tooSlow: refusal('malformed', 421, '4.4.2 Message took too long'),
  tableFull: refusal('malformed', 421, '4.3.2 Too many connections to wait for a message'),
  noMessage: refusal('malformed', 421, '4.4.2 No message for too long'),
  badSender: refusal('malformed', 553, '5.1.7 Sender address not understood'),
  badRecipient: refusal('malformed', 553, '5.1.3 Recipient address not understood'),
  // RFC 5321 section 4.1.1.11: the server does not offer this parameter.
  unknownParameter: refusal('malformed', 555, '5.5.4 Parameter not supported'),
  // RFC 6531 section 3.5.
  noSmtpUtf8: refusal('malformed', 555, '5.6.7 SMTPUTF8 not supported'),
  // RFC 8689 section 4: a server refuses the parameter if it does not offer it. Forwarding cannot guarantee TLS.
  noRequireTls: refusal('malformed', 555, '5.7.10 REQUIRETLS not supported'),
  notAscii: refusal('malformed', 553, '5.6.7 Addresses beyond ASCII not supported'),
  unsignedSender: refusal('relay', 550, '5.7.1 Sender address was not signed here'),
  relay: refusal('relay', 550, '5.7.1 Relaying denied'),
  unknownAlias: refusal('unknown-alias', 550, '5.1.1 No such alias'),
  aliasLoop: refusal('loop', 550, '5.4.6 Alias leads back to itself'),
  bounceAddress: refusal('relay', 550, '5.7.1 Bounce address not valid or too old'),
  bounceOnly: refusal('relay', 550, '5.7.1 Address takes bounces only'),
  tooManyRecipients: refusal('recipients', 452, '4.5.3 Too many recipients, send the rest separately'),
  tooLarge: refusal('size', 552, '5.3.4 Message too large'),
  headerTooLarge: refusal('size', 552, '5.3.4 Message header too large'),
  smuggling: refusal('malformed', 550, '5.6.0 Line of a single dot beside a bare CR or LF'),
  nulOctet: refusal('malformed', 550, '5.6.0 NUL octet in the message'),
  bounceRate: refusal('client-connections', 450, '4.7.1 Too many bounces to this address, try again later'),
  tooManyHops: refusal('loop', 554, '5.4.6 Too many hops'),
  mailLoop: refusal('loop', 554, '5.4.6 Mail loop: this message has been here before'),
} as const
