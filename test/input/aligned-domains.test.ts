// Organisational domains by the public suffix list, and the error for an aligned SRS domain.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alignedNames, alignmentProblem, organisationalDomain } from '../../input/aligned-domains.ts'

const KEYS = { domain: 'srs.domain', acknowledged: 'srs.acknowledgeAligned' }
const problem = (domain: string, names: string[], acknowledged?: string) =>
  alignmentProblem({ domain, acknowledged }, names, KEYS)

const ORGANISATIONS: [name: string, organisation: string][] = [
  ['example.org', 'example.org'],
  ['srs.mail.example.org', 'example.org'],
  ['mx.example.co.uk', 'example.co.uk'],
  ['co.uk', 'co.uk'],
  ['srs.bounces.example', 'bounces.example'],
  ['user.github.io', 'user.github.io'],
]

for (const [name, organisation] of ORGANISATIONS) {
  test(`the organisational domain of ${name} is ${organisation}`, () => {
    assert.equal(organisationalDomain(name), organisation)
  })
}

test('names under one organisational domain are aligned, names under one public suffix are not', () => {
  const names = ['example.org', 'mx.example.org', 'example.net', 'org', 'notexample.org']
  assert.deepEqual(alignedNames('srs.example.org', names), ['example.org', 'mx.example.org'])
  assert.deepEqual(alignedNames('srs.one.co.uk', ['two.co.uk', 'mx.one.co.uk']), ['mx.one.co.uk'])
})

test('an aligned domain is a problem until its organisational domain is acknowledged by name', () => {
  assert.deepEqual(problem('srs.example.org', ['example.org', 'b.example']), {
    key: 'srs.domain',
    found: 'srs.example.org, which DMARC aligns with example.org',
    expected: 'a domain outside example.org, or srs.acknowledgeAligned: example.org',
  })
  assert.equal(problem('srs.example.org', ['example.org'], 'example.org'), null)
  assert.equal(problem('srs.example.org', ['b.example']), null)
  assert.deepEqual(problem('srs.example.org', ['b.example'], 'b.example'), {
    key: 'srs.acknowledgeAligned',
    found: '"b.example"',
    expected: 'example.org, the organisational domain of srs.example.org, or no such key',
  })
})

test('of many aligned names the error lists five', () => {
  const names = Array.from({ length: 1_000 }, (_, n) => `a${n}.example.org`)
  assert.match(
    problem('srs.example.org', names)?.found ?? '',
    /a0\.example\.org, .*a4\.example\.org and 995 more$/,
  )
})
