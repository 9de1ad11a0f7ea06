// The messages of the boot test, and the checks of a forwarded one. Pure.
import { composeMessage } from '../../mailkit/message.ts'
import type { ReceivedMessage } from '../../mailkit/smtp-sink.ts'

export const ALIAS = 'info@alias.example'
export const DESTINATION = 'person@mailbox.example'
export const SENDER = 'sender@origin.example'
export const SRS_DOMAIN = 'srs.bounces.example'
export const SERVER_NAME = 'mx1.forwarder.example'

/** An RFC 5322 message with parts that transport can damage: dots at line starts, blanks at line ends, long lines. */
export function testMessage(id: string, date: Date): Buffer {
  const body = [
    'A first line, then one that is only a dot:',
    '.',
    '..and one that starts with two.',
    'Blanks at the end:  \t ',
    'x'.repeat(900),
    '',
    'The last line.',
    '',
  ]
  return compose(id, date, '7bit', Buffer.from(body.join('\r\n')))
}

/** A message with an eight-bit body: UTF-8, and bytes that are not UTF-8. */
export function eightBitMessage(id: string, date: Date): Buffer {
  const body = Buffer.concat([
    Buffer.from('Grüße aus Köln\r\n'),
    Buffer.from([0xfc, 0x80, 0xff]),
    Buffer.from('\r\n'),
  ])
  return compose(id, date, '8bit', body)
}

/** A message of `bytes` or up to one line more, in lines of 78 characters, like an attachment. */
export function largeMessage(id: string, date: Date, bytes: number): Buffer {
  const line = Buffer.from(`${'TWFpbGZsZWV0'.repeat(7).slice(0, 78)}\r\n`)
  return compose(id, date, '7bit', Buffer.alloc(Math.ceil(bytes / line.length) * line.length, line))
}

function compose(id: string, date: Date, encoding: string, body: Buffer): Buffer {
  return composeMessage({
    id,
    date,
    from: `"Boot Test" <${SENDER}>`,
    to: ALIAS,
    subject: '=?utf-8?Q?Gr=C3=BC=C3=9Fe?=',
    headers: [
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=utf-8',
      `Content-Transfer-Encoding: ${encoding}`,
    ],
    body,
  })
}

/** The differences between a received message and `sent`, forwarded to {@link DESTINATION}; empty when there are none. */
export function forwardProblems(
  sent: Buffer,
  { from, to, raw }: Pick<ReceivedMessage, 'from' | 'to' | 'raw'>,
): string[] {
  const problems: string[] = []
  const added = raw.subarray(0, Math.max(0, raw.length - sent.length)).toString('latin1')
  if (!raw.subarray(added.length).equals(sent))
    problems.push('its own headers and body are not intact at its end')
  if (!/^Received: (?:[^\r\n]|\r\n[ \t])*\bby mx1\.forwarder\.example\b/im.test(added)) {
    problems.push(`no Received field by ${SERVER_NAME} was added`)
  }
  if (to.length !== 1 || to[0] !== DESTINATION) {
    problems.push(`it went to ${to.join(', ')} rather than ${DESTINATION}`)
  }
  const [local = '', domain] = from.split('@')
  if (!/^SRS0[=+-]/i.test(local) || domain !== SRS_DOMAIN) {
    problems.push(`its reverse path <${from}> is not rewritten to ${SRS_DOMAIN}`)
  }
  return problems
}
