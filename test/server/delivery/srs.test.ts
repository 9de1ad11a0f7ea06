// The Sender Rewriting Scheme: a table of rewritings, and properties that hold for any sender.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatAddress, parseAddress } from '../../../server/address.ts'
import { isOwnAddress, reverseSrs, rewriteSrs, type SrsConfig } from '../../../server/delivery/srs.ts'

const DAY_MS = 86_400_000
const NOW_MS = Date.UTC(2026, 0, 15)
const srs: SrsConfig = {
  domain: 'srs.example.com',
  secrets: ['first-secret-of-32-characters-ab', 'older-secret-of-32-characters-ab'],
}

const localOf = (address: string) => address.slice(0, address.lastIndexOf('@'))
const back = (address: string, nowMs = NOW_MS, by = srs) => {
  const reversed = reverseSrs(by, localOf(address), nowMs)
  return reversed === null ? null : formatAddress(reversed)
}

const REWRITINGS: [name: string, sender: string, rewritten: RegExp, reversed: string | null][] = [
  [
    'a plain sender',
    'alice@sender.example',
    /^SRS0=[a-z2-7]{8}=[a-z2-7]{2}=sender\.example=alice@/,
    'alice@sender.example',
  ],
  ['a local part with equals signs', 'b=a=c@s.example', /^SRS0=.{8}=..=s\.example=b=a=c@/, 'b=a=c@s.example'],
  ['a tag', 'a+b-c@s.example', /=s\.example=a\+b-c@/, 'a+b-c@s.example'],
  ['upper case in the domain', 'A@S.Example', /=s\.example=A@/, 'A@s.example'],
  [
    'another forwarder’s SRS0',
    'SRS0=hash=tt=orig.example=bob@fwd.example',
    /^SRS1=.{8}=fwd\.example==hash=tt=orig\.example=bob@/,
    'SRS0=hash=tt=orig.example=bob@fwd.example',
  ],
  [
    'another forwarder’s SRS0 with its own separator',
    'SRS0+hash=tt=o.example=bob@fwd.example',
    /^SRS1=.{8}=fwd\.example=\+hash=tt=o\.example=bob@/,
    'SRS0+hash=tt=o.example=bob@fwd.example',
  ],
  [
    'another forwarder’s SRS1: the first host stays',
    'SRS1=xxxx=first.example==h=tt=o.example=bob@second.example',
    /^SRS1=.{8}=first\.example==h=tt=o\.example=bob@/,
    'SRS0=h=tt=o.example=bob@first.example',
  ],
  [
    'too long for 64 octets',
    `${'x'.repeat(40)}@sender.example`,
    /^opaque=[a-z2-7]{8}=[a-z2-7]{2}=[a-z2-7]{8}@/,
    null,
  ],
  ['quotes without need', '"john"@sender.example', /=sender\.example=john@/, 'john@sender.example'],
  ['a quoted space', '"a b"@sender.example', /=sender\.example=a\{20\}b@/, '"a b"@sender.example'],
  ['a dot at the end', 'foo.@sender.example', /=sender\.example=foo\{2e\}@/, '"foo."@sender.example'],
  ['two dots', 'a..b@sender.example', /=sender\.example=a\{2e\}\.b@/, '"a..b"@sender.example'],
  ['braces', 'a{2e}b@sender.example', /=sender\.example=a\{7b\}2e\{7d\}b@/, 'a{2e}b@sender.example'],
  ['an address literal', 'a@[192.0.2.1]', /=\{5b\}192\.0\.2\.1\{5d\}=a@/, 'a@[192.0.2.1]'],
]

for (const [name, sender, rewritten, reversed] of REWRITINGS) {
  test(`rewrites ${name}`, () => {
    const address = rewriteSrs(srs, sender, NOW_MS)
    assert.match(address, rewritten)
    assert.ok(address.endsWith('@srs.example.com'))
    assert.equal(back(address), reversed)
  })
}

/** Every character but letters and digits that a local part may have without quotes (RFC 5322 section 3.2.3, atext). */
const ATEXT = [..."!#$%&'*+-/=?^_`{|}~"]

test('a sender with any character of RFC 5322 at any position can be reversed', () => {
  for (const character of ATEXT) {
    for (const local of [`${character}bob`, `bo${character}b`, `bob${character}`, `srs${character}bob`]) {
      const sender = `${local}@sender.example`
      const address = rewriteSrs(srs, sender, NOW_MS)
      assert.match(address, /^SRS0=[a-z2-7]{8}=..=sender\.example=/, sender)
      assert.equal(back(address), sender)
    }
  }
})

test('a sender is opaque only where its address would exceed 64 octets', () => {
  const fixed = 'SRS0=01234567=tt=sender.example='.length
  const longest = 'x'.repeat(64 - fixed)
  assert.equal(localOf(rewriteSrs(srs, `${longest}@sender.example`, NOW_MS)).length, 64)
  assert.match(rewriteSrs(srs, `${longest}@sender.example`, NOW_MS), /^SRS0=/)
  assert.match(rewriteSrs(srs, `${longest}x@sender.example`, NOW_MS), /^opaque=/)
})

test('the null reverse path stays null, and an address of our own stays unchanged', () => {
  assert.equal(rewriteSrs(srs, '', NOW_MS), '')
  const own = rewriteSrs(srs, 'alice@sender.example', NOW_MS)
  assert.equal(rewriteSrs(srs, own, NOW_MS), own)
})

test('any sender gets at most 64 octets and reverses to the same mailbox in any case, or is opaque', () => {
  const characters = 'abcXYZ019.!#$&*+-/=?^_`{|}~'
  let state = 1
  const random = (below: number) => (state = (state * 48_271) % 2_147_483_647) % below
  for (let round = 0; round < 2_000; round++) {
    const local = Array.from({ length: 1 + random(45) }, () => characters[random(characters.length)]).join('')
    const sender = `${local}@${'abc.'.repeat(1 + random(3))}example`
    const address = rewriteSrs(srs, sender, NOW_MS)
    assert.ok(Buffer.byteLength(localOf(address)) <= 64, address)
    if (address.startsWith('opaque')) continue
    assert.equal(
      back(address),
      /^srs[01][=+-]/i.test(local) ? back(address) : formatAddress(parseAddress(sender)!),
    )
    for (const altered of [address.toUpperCase(), address.toLowerCase()]) {
      assert.equal(back(altered)?.toLowerCase(), back(address)?.toLowerCase())
    }
  }
})

test('an address with any changed character is not ours', () => {
  const local = localOf(rewriteSrs(srs, 'alice@sender.example', NOW_MS))
  for (let index = 5; index < local.length; index++) {
    const other = local[index] === 'b' ? 'c' : 'b'
    const changed = local.slice(0, index) + other + local.slice(index + 1)
    assert.equal(reverseSrs(srs, changed, NOW_MS), null, changed)
  }
})

test('an SRS0 or SRS1 address with a forged hash of any length is not ours', () => {
  const first = localOf(rewriteSrs(srs, 'alice@sender.example', NOW_MS))
  const chained = localOf(rewriteSrs(srs, 'SRS0=hash=tt=orig.example=bob@fwd.example', NOW_MS))
  for (const local of [first, chained]) {
    const hash = local.split('=')[1]!
    assert.notEqual(reverseSrs(srs, local, NOW_MS), null)
    for (const made of ['a', hash.slice(1), `${hash}a`, 'a'.repeat(16), 'ä'.repeat(8)])
      assert.equal(reverseSrs(srs, local.replace(hash, made), NOW_MS), null, made)
  }
})

test('an address that is too old or from the future is not ours', () => {
  const address = rewriteSrs(srs, 'alice@sender.example', NOW_MS)
  const at = (days: number) => back(address, NOW_MS + days * DAY_MS)
  assert.equal(at(14), 'alice@sender.example')
  assert.equal(at(15), null)
  assert.equal(at(-1), 'alice@sender.example')
  assert.equal(at(-2), null)
})

test('an address is not valid again when the day codes repeat, after 1,024 days', () => {
  const address = rewriteSrs(srs, 'alice@sender.example', NOW_MS)
  for (const days of [1_024 - 1, 1_024, 1_024 + 5, 2 * 1_024])
    assert.equal(back(address, NOW_MS + days * DAY_MS), null, `${days} days later`)
})

test('a bounce through two of our servers reaches the sender, for ordinary names', () => {
  const next: SrsConfig = { domain: 'srs.example.net', secrets: ['next-secret-of-32-characters-abc'] }
  const first = rewriteSrs(srs, 'john.smith@a.example', NOW_MS)
  const second = rewriteSrs(next, first, NOW_MS)
  assert.match(second, /^SRS1=/)
  assert.ok(Buffer.byteLength(localOf(second)) <= 64, second)
  assert.equal(back(second, NOW_MS, next), first)
  assert.equal(back(first), 'john.smith@a.example')
})

test('a chain that does not fit gets an opaque address, which is ours as a sender and cannot be reversed', () => {
  const next: SrsConfig = { domain: 'srs.example.net', secrets: ['next-secret-of-32-characters-abc'] }
  const first = rewriteSrs(srs, 'a-rather-long-name@sender.example', NOW_MS)
  const second = rewriteSrs(next, first, NOW_MS)
  assert.match(second, /^opaque=/)
  assert.equal(isOwnAddress(next, localOf(second), NOW_MS), true)
  assert.equal(back(second, NOW_MS, next), null)
})

test('a sender at our domain is ours only if we made it within the age limit', () => {
  const made = ['alice@sender.example', `${'x'.repeat(40)}@sender.example`, 'SRS0=h=tt=o.example=b@f.example']
  for (const sender of made) {
    const local = localOf(rewriteSrs(srs, sender, NOW_MS))
    assert.equal(isOwnAddress(srs, local, NOW_MS), true, local)
    assert.equal(isOwnAddress(srs, local.toUpperCase(), NOW_MS), true, local)
    assert.equal(isOwnAddress(srs, `${local}x`, NOW_MS), false, local)
    if (!local.startsWith('SRS1')) assert.equal(isOwnAddress(srs, local, NOW_MS + 20 * DAY_MS), false, local)
  }
  for (const local of [
    'alice',
    'postmaster',
    'opaque',
    'opaque=abcdefgh',
    'opaque=abcdefgh=ab=abcdefgh',
    'SRS0=x',
  ])
    assert.equal(isOwnAddress(srs, local, NOW_MS), false, local)
})

test('an older secret still verifies, and a removed one does not', () => {
  const before = { ...srs, secrets: ['older-secret-of-32-characters-ab'] }
  const address = rewriteSrs(before, 'alice@sender.example', NOW_MS)
  assert.equal(back(address), 'alice@sender.example')
  assert.equal(back(address, NOW_MS, { ...srs, secrets: [srs.secrets[0]!] }), null)
})
