// Parsing and comparing domains and mailboxes, as tables.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  addressKey,
  truncated,
  formatAddress,
  isFullName,
  parseAddress,
  parseDomain,
} from '../../server/address.ts'

const DOMAINS: [text: string, expected: string | null][] = [
  ['example.org', 'example.org'],
  ['EXAMPLE.Org', 'example.org'],
  ['bücher.example', 'xn--bcher-kva.example'],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['_dmarc.example.org', '_dmarc.example.org'],
  ['localhost', 'localhost'],
  ['a-b.example', 'a-b.example'],
  ['', null],
  ['.', null],
  ['example.org.', null],
  ['.example.org', null],
  ['a..example', null],
  ['-a.example', null],
  ['a-.example', null],
  ['192.0.2.1', null],
  ['0x7f.1', null],
  ['[192.0.2.1]', null],
  ['exa mple.org', null],
  ['example.org\r\nx', null],
  ['ex＠mple.org', null],
  ['b%75cher.example', null],
  ['bücher.example/x', null],
  ['bücher.example:25', null],
  ['büch\u00ader.example', null],
  [`${'a'.repeat(64)}.example`, null],
  [`${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
  [`${'abcdefg.'.repeat(32)}example`, null],
]

for (const [text, expected] of DOMAINS) {
  test(`domain ${JSON.stringify(text.slice(0, 40))}: ${expected?.slice(0, 40) ?? 'none'}`, () => {
    assert.equal(parseDomain(text), expected)
  })
}

const ADDRESSES: [text: string, expected: string | null][] = [
  ['Alice@Example.org', 'Alice@example.org'],
  ['a+b=c@example.org', 'a+b=c@example.org'],
  ['"alice"@example.org', 'alice@example.org'],
  ['a.b.@example.org', '"a.b."@example.org'],
  ['.a@example.org', '".a"@example.org'],
  ['a..b@example.org', '"a..b"@example.org'],
  ['"a b"@example.org', '"a b"@example.org'],
  ['"a\\"\\b@c"@example.org', '"a\\"b@c"@example.org'],
  ['alice@[192.0.2.1]', 'alice@[192.0.2.1]'],
  ['alice@[ipv6:2001:DB8::1]', 'alice@[IPv6:2001:db8::1]'],
  ['alice@[192.0.2.256]', null],
  ['alice@[2001:db8::1]', null],
  ['alice@[IPv6:192.0.2.1]', null],
  ['alice@[example.org]', null],
  ['""@example.org', null],
  ['"a<b"@example.org', null],
  ['"a\r\nb"@example.org', null],
  ['"a"b@example.org', null],
  ['@example.org', null],
  ['alice', null],
  ['alice@', null],
  ['a@b@example.org', null],
  ['a:b@example.org', null],
  ['a<b@example.org', null],
  [`${'x'.repeat(250)}@example.org`, null],
]

for (const [text, expected] of ADDRESSES) {
  test(`address ${text.slice(0, 40)}: ${expected ?? 'none'}`, () => {
    const address = parseAddress(text)
    assert.equal(address === null ? null : formatAddress(address), expected)
    if (address !== null) assert.deepEqual(parseAddress(formatAddress(address)), address)
  })
}

test('mailboxes compare equal in any case; a full host name has at least two labels', () => {
  assert.equal(addressKey(parseAddress('Alice@Example.org')!), addressKey(parseAddress('alice@example.ORG')!))
  assert.equal(isFullName('mx1.example.net'), true)
  assert.equal(isFullName('mx1'), false)
})

test('external text is cut and cannot start a new line', () => {
  assert.equal(truncated('a\r\nb\0c', 100), 'a b c')
  assert.equal(truncated('x'.repeat(20), 10), `${'x'.repeat(9)}…`)
})
