// Matching addresses against the routes, as a table; and the errors of a routes file.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InputError } from '../../../input/problems.ts'
import { formatAddress, parseAddress } from '../../../server/address.ts'
import { parseRoutes, resolveRecipient, roleMailbox } from '../../../server/routing/table.ts'

const roles = roleMailbox({
  postmaster: 'ops@mailbox.example',
  hostname: 'mx.example.net',
  srs: { domain: 'srs.example.com' },
})
const routes = parseRoutes('routes', {
  domains: {
    'Example.org': {
      aliases: {
        Info: ['a@b.example', 'A@B.example', 'c@d.example'],
        'shop+vip': ['vip@b.example'],
        shop: ['shop@b.example'],
        chain: ['info@example.org', 'z@z.example'],
        tagged: ['shop@example.org'],
        ping: ['pong@example.org'],
        pong: ['ping@example.org'],
        self: ['self@example.org'],
        half: ['self@example.org', 'h@h.example'],
        dead: ['gone@example.org'],
        across: ['anyone@catch.example'],
      },
    },
    'catch.example': { aliases: { '*': ['all@b.example'], only: ['only@b.example'] } },
    'round.example': { aliases: { '*': ['x@round.example'] } },
    'bücher.example': { aliases: { info: ['buch@b.example'] } },
    'deep.example': {
      aliases: Object.fromEntries(
        Array.from({ length: 20 }, (_, n) => [`d${n}`, [`d${n + 1}@deep.example`]]),
      ),
    },
  },
})

const CASES: [address: string, expected: string][] = [
  ['info@example.org', 'a@b.example c@d.example'],
  ['INFO@EXAMPLE.ORG', 'a@b.example c@d.example'],
  ['info+anything@example.org', 'a@b.example c@d.example'],
  ['shop+vip@example.org', 'vip@b.example'],
  ['shop+other@example.org', 'shop@b.example'],
  ['+info@example.org', 'unknown-alias'],
  ['informal@example.org', 'unknown-alias'],
  ['info@sub.example.org', 'unknown-domain'],
  ['info@other.example', 'unknown-domain'],
  ['whoever@catch.example', 'all@b.example'],
  ['only@catch.example', 'only@b.example'],
  ['*@catch.example', 'all@b.example'],
  ['*@example.org', 'unknown-alias'],
  ['constructor@example.org', 'unknown-alias'],
  ['info@xn--bcher-kva.example', 'buch@b.example'],
  ['chain@example.org', 'a@b.example c@d.example z@z.example'],
  ['tagged+vip@example.org', 'vip@b.example'],
  ['across@example.org', 'all@b.example'],
  ['ping@example.org', 'alias-loop'],
  ['self@example.org', 'alias-loop'],
  ['half@example.org', 'h@h.example'],
  ['dead@example.org', 'unknown-alias'],
  ['x@round.example', 'alias-loop'],
  ['d0@deep.example', 'alias-loop'],
]

for (const [address, expected] of CASES) {
  test(`${address} → ${expected}`, () => {
    const resolution = resolveRecipient(routes, parseAddress(address)!, roles)
    const actual =
      resolution.kind === 'routed' ? resolution.destinations.map(formatAddress).join(' ') : resolution.kind
    assert.equal(actual, expected)
  })
}

test('a fan-out beyond its limit is cut and is no error', () => {
  const many = Array.from({ length: 90 }, (_, n) => `m${n}@b.example`)
  const more = Array.from({ length: 90 }, (_, n) => `n${n}@b.example`)
  const wide = parseRoutes('routes', {
    domains: { 'w.example': { aliases: { all: ['one@w.example', 'two@w.example'], one: many, two: more } } },
  })
  const resolution = resolveRecipient(wide, parseAddress('all@w.example')!, roles)
  assert.equal(resolution.kind === 'routed' && resolution.destinations.length, 100)
})

const BROKEN: [name: string, value: unknown, message: RegExp][] = [
  ['no domains', {}, /domains: expected .*found nothing/],
  ['an unknown key', { domains: {}, domain: {} }, /domain: expected no such key/],
  [
    'a domain that is none',
    { domains: { 'no domain': { aliases: {} } } },
    /no domain: expected a domain name/,
  ],
  [
    'a domain twice',
    { domains: { 'a.example': { aliases: {} }, 'A.example': { aliases: {} } } },
    /each domain once/,
  ],
  [
    'an alias twice',
    { domains: { 'a.example': { aliases: { x: ['a@b.c'], X: ['a@b.c'] } } } },
    /each alias once/,
  ],
  [
    'an alias that is none',
    { domains: { 'a.example': { aliases: { 'x y': ['a@b.c'] } } } },
    /part of an address/,
  ],
  ['no mailbox', { domains: { 'a.example': { aliases: { x: [] } } } }, /at least one mailbox/],
  ['a mailbox that is none', { domains: { 'a.example': { aliases: { x: ['b'] } } } }, /a mailbox such as/],
  ['a string for a list', { domains: { 'a.example': { aliases: { x: 'a@b.c' } } } }, /x: expected Array/],
]

for (const [name, value, message] of BROKEN) {
  test(`refuses ${name}`, () => {
    assert.throws(
      () => parseRoutes('routes.yaml', value),
      (error) => {
        assert.ok(error instanceof InputError)
        assert.match(error.message, message)
        return true
      },
    )
  })
}
