// The DSN, byte for byte against a golden file, and what it must never reveal.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { buildDsn } from '../../../server/delivery/dsn.ts'
import type { Destination, Entry } from '../../../server/queue/entry.ts'

const golden = join(import.meta.dirname, '../../fixtures/dsn/failed.eml')

function destination(over: Partial<Destination>): Destination {
  return {
    address: 'secret.box@b.example',
    originalRecipient: 'info@example.org',
    state: 'failed',
    reply: '550 5.1.1 <secret.box@b.example>: no such user secret.box here',
    status: '5.1.1',
    remoteHost: 'mx.b.example',
    ...over,
  }
}

const entry: Entry = {
  version: 1,
  id: '0mwu6qhcs25cbfacfe101bc4e276e',
  reversePath: 'alice@sender.example',
  destinations: [],
  sizeBytes: 0,
  acceptedMs: Date.UTC(2026, 0, 2, 3, 4, 5),
  dueMs: 0,
  expiresMs: 0,
  attempts: 3,
  eightBit: false,
  smtpUtf8: false,
}

const HEADER =
  'Received: from client.example\r\n\tby mx1.example.net;\r\nSubject: Greetings\r\nMessage-ID: <1@sender.example>\r\n'

const build = (failed: Destination[], body: string, over: Partial<Entry> = {}) =>
  buildDsn({
    entry: { ...entry, ...over },
    body: Buffer.from(body),
    failed,
    hostname: 'mx1.example.net',
    nowMs: Date.UTC(2026, 0, 2, 3, 14, 5),
  }).then((dsn) => dsn.toString())

test('a DSN equals the golden file', async () => {
  const failed = [
    destination({}),
    destination({
      address: 'c@d.example',
      originalRecipient: 'team@example.org',
      reply: 'not delivered within 120 hours; last reply: 451 try later',
      status: '4.4.7',
      remoteHost: '',
    }),
  ]
  const dsn = await build(failed, `${HEADER}\r\nThe body stays here.\r\n`)
  assert.equal(dsn.replaceAll('\r\n', '\n'), readFileSync(golden, 'utf8'))
})

test('the DSN never names the mailbox behind the alias, in any case that the remote host wrote', async () => {
  const reply =
    '550 5.1.1 Secret.Box@B.Example: user "secret.box" unknown (secret.box@b.example, not secret.boxes)'
  const dsn = await build([destination({ reply })], HEADER)
  assert.doesNotMatch(dsn.replaceAll(/=\r\n/g, ''), /secret\.box(?!es)/i)
  assert.match(dsn, /info@example\.org/)
})

test('an alias with replacement patterns does not reveal the mailbox', async () => {
  const dsn = await build([destination({ originalRecipient: "$&$`$'@example.org" })], HEADER)
  assert.doesNotMatch(dsn.replaceAll(/=\r\n/g, ''), /secret\.box/i)
})

test('a DSN returns no body, and only whole lines of a long header', async () => {
  const long = Array.from({ length: 400 }, (_, n) => `X-Line-${n}: ${'x'.repeat(60)}\r\n`).join('')
  const dsn = await build([destination({})], `${long}\r\nbody text\r\n`)
  assert.doesNotMatch(dsn, /body text/)
  assert.ok(dsn.length < 24_000, `${dsn.length}`)
  assert.match(dsn, /X-Line-0: x+\r\n/)
})

test('every line fits SMTP, and the status part is ASCII for any reply of the remote host', async () => {
  const reply = `550 5.7.1 ${'ünzustellbar '.repeat(60)}`.slice(0, 500)
  const dsn = await build([destination({ reply })], HEADER)
  for (const line of dsn.split('\r\n')) assert.ok(Buffer.byteLength(line) <= 998)
  const status = dsn.slice(dsn.indexOf('message/delivery-status'), dsn.indexOf('rfc822-headers'))
  assert.match(status, /^[\x20-\x7e\r\n]*$/)
})

test('a DSN names neither the host nor the domain of the mailbox', async () => {
  const reply = '550 5.1.1 in.mx.b.example says: b.example has no such user; see https://help.b.example/x'
  const dsn = await build([destination({ reply })], `${HEADER}\r\n`)
  assert.doesNotMatch(dsn, /b\.example/)
  assert.match(dsn, /Diagnostic-Code: smtp; 550 5\.1\.1 \(host\) says: \(host\) has no such user/)
})

test('long header lines are returned unchanged, and 8-bit ones encoded', async () => {
  const long = `X-Long: ${'word='.repeat(40)}\r\n`
  assert.ok((await build([destination({})], `${HEADER}${long}\r\n`)).includes(long))
  assert.match(
    await build([destination({})], `${HEADER}X: Grüße\r\n\r\n`),
    /rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable/,
  )
})
