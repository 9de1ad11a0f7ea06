// No open relay: known ways to address a foreign mailbox through a server, and bounces to SRS addresses.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatAddress } from '../../../server/address.ts'
import { rewriteSrs } from '../../../server/delivery/srs.ts'
import { parseRoutes, roleMailbox } from '../../../server/routing/table.ts'
import { decideRecipient } from '../../../server/smtp/recipients.ts'
import { startServer } from '../../kit/server/server-process.ts'
import { openGreetedDialog } from '../../../mailkit/smtp-dialog.ts'

const NOW_MS = Date.UTC(2026, 5, 1)
const srs = { domain: 'srs.example.com', secrets: ['a-secret-of-tests-of-32-characters'] }
const routes = parseRoutes('routes', {
  domains: {
    'example.org': { aliases: { info: ['a@b.example'], sender: ['s@home.example'] } },
    'catch.example': { aliases: { '*': ['all@b.example'] } },
  },
})
const hostname = 'mx1.example.net'
const roles = roleMailbox({ postmaster: 'ops@mailbox.example', hostname, srs })
const context = { routes, srs, hostname, roles, nowMs: NOW_MS }

function decide(
  address: string,
  fromNull = false,
  over: Partial<typeof context> | { routes: null } = {},
): string {
  const decision = decideRecipient(address, fromNull, { ...context, ...over })
  return decision.kind === 'accepted'
    ? decision.destinations.map(formatAddress).join(' ')
    : `${decision.refusal.code} ${decision.refusal.text.split(' ')[0]}`
}

/** If the server accepted one of these, it would send mail to other.example. */
const RELAY_ATTEMPTS = [
  'victim@other.example',
  'victim%other.example@example.org',
  'victim%other.example@catch.example',
  'victim%other.example@mx1.example.net',
  'other.example!victim@example.org',
  'other.example!victim@catch.example',
  'victim@other.example%example.org',
  'victim@[192.0.2.1]',
  'victim@[127.0.0.1]',
  'info@[IPv6:::1]',
  '@example.org:victim@other.example',
  '@example.org,@mx1.example.net:victim@other.example',
  'victim@other.example@example.org',
  '"victim@other.example"@example.org',
  '"victim@other.example"@catch.example',
  'victim@example.org.other.example',
  'victim@other.example.',
  'victim@mx1.example.net',
  'victim@localhost',
  'victim',
  'SRS0=aaaaaaaaaaaaaaaa=aa=other.example=victim@srs.example.com',
  'SRS0=aaaaaaaaaaaaaaaa=aa=other.example=victim@example.org',
  'SRS1=aaaaaaaaaaaaaaaa=other.example==aaaa=aa=x.example=victim@srs.example.com',
  'victim=other.example@srs.example.com',
  'opaque=aaaaaaaaaaaaaaaa@srs.example.com',
]

for (const attempt of RELAY_ATTEMPTS) {
  test(`never relays to ${attempt}`, () => {
    for (const fromNull of [true, false]) assert.match(decide(attempt, fromNull), /^55[03] 5\.[17]\.[13]$/)
  })
}

test('never relays to any of them over a real socket', async () => {
  const instance = await startServer({ config: { limits: { rejectedRecipients: 1_000 } } })
  const dialog = await openGreetedDialog(instance.port)
  await dialog.say('MAIL FROM:<info@example.org>')
  for (const attempt of [
    ...RELAY_ATTEMPTS,
    '"victim"@other.example',
    'victim @other.example',
    '<victim@other.example>',
  ]) {
    const reply = await dialog.say(`RCPT TO:<${attempt}>`)
    assert.match(reply ?? '', /^5\d\d /, attempt)
  }
  assert.match((await dialog.say('DATA')) ?? '', /^503 /)
  dialog.end()
  assert.equal(await instance.stop(), 0)
})

test('a source route before one of our aliases is ignored', async () => {
  const instance = await startServer({})
  const dialog = await openGreetedDialog(instance.port)
  await dialog.say('MAIL FROM:<a@sender.example>')
  assert.match((await dialog.say('RCPT TO:<@relay.example:info@example.org>')) ?? '', /^250 /)
  dialog.end()
  assert.equal(await instance.stop(), 0)
})

test('without loaded routes every address gets 451', () => {
  for (const address of ['info@example.org', 'nobody@example.org', 'x@other.example']) {
    assert.equal(decide(address, false, { routes: null }), '451 4.3.0')
  }
})

for (const address of [
  'postmaster',
  'Postmaster',
  ...['mx1.example.net', 'example.org', 'srs.example.com'].flatMap((domain) => [
    `postmaster@${domain}`,
    `Abuse@${domain}`,
  ]),
]) {
  test(`${address} goes to the configured mailbox, since no alias matches it`, () => {
    for (const fromNull of [true, false]) assert.equal(decide(address, fromNull), 'ops@mailbox.example')
    assert.equal(decide(address, false, { routes: null }), '451 4.3.0')
  })
}

test('an alias, the catch-all included, comes before the configured mailbox', () => {
  const own = parseRoutes('routes', {
    domains: {
      'mx1.example.net': { aliases: { postmaster: ['p@b.example'] } },
      'example.org': { aliases: { abuse: ['info@example.org'], info: ['postmaster@mx1.example.net'] } },
    },
  })
  assert.equal(decide('Postmaster', false, { routes: own }), 'p@b.example')
  assert.equal(decide('abuse@example.org', false, { routes: own }), 'p@b.example')
  assert.equal(decide('abuse@mx1.example.net', false, { routes: own }), 'ops@mailbox.example')
  assert.equal(decide('abuse@catch.example'), 'all@b.example')
})

test('the configured mailbox may be behind an alias of ours', () => {
  const chained = roleMailbox({ postmaster: 'info@example.org', hostname, srs })
  assert.equal(decide('postmaster', false, { roles: chained }), 'a@b.example')
  assert.equal(decide('abuse@example.org', false, { roles: chained }), 'a@b.example')
})

test('other addresses at the host’s names are refused', () => {
  for (const address of ['abuse@other.example', 'postmaster@mx2.example.net', 'info@mx1.example.net'])
    assert.equal(decide(address), '550 5.7.1', address)
})

test('a bounce goes to the original sender, or to the mailboxes behind our alias', () => {
  assert.equal(decide(rewriteSrs(srs, 'alice@sender.example', NOW_MS), true), 'alice@sender.example')
  assert.equal(decide(rewriteSrs(srs, 'sender@example.org', NOW_MS), true), 's@home.example')
  assert.equal(decide(rewriteSrs(srs, 'gone@example.org', NOW_MS), true), '550 5.1.1')
})

test('an SRS address accepts only bounces, and expires', () => {
  const address = rewriteSrs(srs, 'alice@sender.example', NOW_MS)
  assert.equal(decide(address, false), '550 5.7.1')
  assert.equal(decide(address, true, { nowMs: NOW_MS + 20 * 86_400_000 }), '550 5.7.1')
  assert.equal(decide(address.toUpperCase(), true), 'ALICE@sender.example')
})
