// Builds an RFC 5322 message for tests, and reads a header field of a received one. Pure.

export type TestMessageParts = {
  id: string
  date: Date
  /** An addr-spec, or a display name with one in angle brackets. */
  from: string
  to: string
  subject: string
  /** Further header lines, each `Name: value`. */
  headers: readonly string[]
  body: Buffer
}

/** The message with CRLF line ends. `Message-ID` is the id at origin.example. */
export function composeMessage({ id, date, from, to, subject, headers, body }: TestMessageParts): Buffer {
  const lines = [
    `Date: ${date.toUTCString().replace('GMT', '+0000')}`,
    `From: ${from}`,
    `To: <${to}>`,
    `Subject: ${subject}`,
    `Message-ID: <${id}@origin.example>`,
    ...headers,
    '',
    '',
  ]
  return Buffer.concat([Buffer.from(lines.join('\r\n')), body])
}

/** The id that {@link composeMessage} gave; undefined for a message of another origin. */
export function messageIdOf(raw: Buffer): string | undefined {
  return /^<([^@>]+)@/.exec(headerField(raw, 'Message-ID') ?? '')?.[1]
}

/** The value of the first header field with this name; without its folded lines. */
export function headerField(raw: Buffer, name: string): string | undefined {
  const end = raw.indexOf('\r\n\r\n')
  const header = raw.toString('latin1', 0, end < 0 ? raw.length : end)
  return new RegExp(`^${name}: *([^\\r\\n]*)`, 'im').exec(header)?.[1]
}
