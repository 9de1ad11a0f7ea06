// The report of a lock update, from real packages with real changelogs.
import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { entriesSince, parseChangelog } from '../../../images/lock/changelog.ts'
import type { Lock } from '../../../images/lock-file.ts'
import { describeUpdate, updateText } from '../../../images/lock/update.ts'
import { debOf, lockOf, npmOf } from '../../kit/images/fake-locks.ts'
import { madeDeb, type Made } from '../../kit/images/fake-debs.ts'

const cacheDir = mkdtempSync(join(tmpdir(), 'mailfleet-update-'))

const CHANGELOG = `openssl (3.5.9-1) trixie-security; urgency=medium

  * Import 3.5.9

  [ A Person ]
  * CVE-2026-84782 ("DTLS Retransmits Handshake Messages From a Stale Buffer
    Offset")
    - and CVE-2026-35189, in another place

 -- A Person <a@example.net>  Sat, 03 Oct 2026 18:00:50 +0200

openssl (3.5.7-1) trixie; urgency=medium

  * CVE-2020-0001, long mended

 -- A Person <a@example.net>  Sat, 03 Jan 2026 18:00:50 +0200
`

function describe(before: Lock, after: Lock, made: readonly Made[]) {
  const files = new Map(made.map(({ file, deb }) => [deb.sha256, file]))
  return describeUpdate(before, after, {
    cacheDir,
    pathOf: ({ sha256 }) => files.get(sha256) ?? '/nonexistent',
  })
}

test('a changelog is parsed as deb-changelog(5) describes', () => {
  assert.deepEqual(parseChangelog(CHANGELOG), [
    {
      version: '3.5.9-1',
      lines: [
        'Import 3.5.9',
        'CVE-2026-84782 ("DTLS Retransmits Handshake Messages From a Stale Buffer Offset")',
        'and CVE-2026-35189, in another place',
      ],
      cves: ['CVE-2026-35189', 'CVE-2026-84782'],
    },
    { version: '3.5.7-1', lines: ['CVE-2020-0001, long mended'], cves: ['CVE-2020-0001'] },
  ])
  assert.deepEqual(parseChangelog('2026-01-01  A Person\n\n\t* file.c (main): Changed.\n'), [])
})

test('entries newer than the locked version are returned, and the newest for an unknown version', () => {
  const entries = parseChangelog(CHANGELOG)
  assert.deepEqual(
    entriesSince(entries, '3.5.7-1').map(({ version }) => version),
    ['3.5.9-1'],
  )
  assert.equal(entriesSince(entries, '3.5.9-1').length, 0)
  assert.equal(entriesSince(entries, '3.0').length, 2)
  assert.equal(entriesSince(entries, undefined).length, 1)
})

test('packages of one source are reported together, with new changelog entries and CVEs', async () => {
  const files = { 'changelog.Debian.gz': CHANGELOG, 'changelog.gz': 'upstream says much\n' }
  const library = madeDeb('libssl3', '3.5.9-1', { source: 'openssl', docLink: 'openssl' })
  const openssl = madeDeb('openssl', '3.5.9-1', { files })
  const old = [debOf('libssl3', '3.5.7-1'), debOf('openssl', '3.5.7-1'), debOf('adduser', '1')]
  const before = lockOf({ root: old, tools: [debOf('libssl3', '3.5.7-1')] })
  const root = [library.deb, openssl.deb, debOf('bash', '5')]
  const after = lockOf({ root, tools: [library.deb], native: [npmOf('lmdb')], spec: '1'.repeat(64) })
  const update = await describe(before, after, [library, openssl])
  assert.equal(update.upgrades.length, 1)
  assert.deepEqual(update.cves, ['CVE-2026-35189', 'CVE-2026-84782'])
  assert.equal(update.addedBytes, library.deb.sizeBytes + openssl.deb.sizeBytes + 'bash 5'.length)
  const text = updateText(update).split('\n')
  assert.equal(text[0], 'openssl: libssl3, openssl 3.5.7-1 → 3.5.9-1 (root, tools)')
  assert.equal(text[1], '    * Import 3.5.9')
  assert.ok(text.includes('    CVE-2026-35189 CVE-2026-84782'))
  assert.ok(text.includes('added    bash 5 (root)') && text.includes('added    lmdb 1.2.3 (native)'))
  assert.ok(text.includes('removed  adduser 1 (root)') && text.includes('spec: changed since it was locked'))
  assert.match(text.at(-1) ?? '', /^2 packages changed, 2 added, 1 removed: .* MB; 2 CVEs named$/)
})

test('a package whose version differs from its source’s is compared by the source’s version', async () => {
  const changelog = CHANGELOG.replaceAll('openssl', 'lvm2')
  const files = { 'changelog.Debian.gz': changelog }
  const next = madeDeb('dmsetup', '2:1.02.2', { source: 'lvm2 (3.5.9-1)', files })
  const old = madeDeb('dmsetup', '2:1.02.1', { source: 'lvm2 (3.5.7-1)', files })
  const [before, after] = [lockOf({ root: [old.deb] }), lockOf({ root: [next.deb] })]
  for (const made of [[next, old], [next]]) {
    const { upgrades } = await describe(before, after, made)
    assert.deepEqual(upgrades[0]?.cves, ['CVE-2026-35189', 'CVE-2026-84782'])
  }
})

test('a rebuild has its own entry, and a native package’s changelog.gz is read', async () => {
  const rebuild =
    'bash (5.2-1+b1) sid; urgency=low, binary-only=yes\n\n  * Rebuild\n\n -- D <d@example.net>  x\n'
  const files = { 'changelog.Debian.amd64.gz': rebuild, 'changelog.Debian.gz': CHANGELOG }
  const bash = madeDeb('bash', '5.2-1+b1', { source: 'bash (5.2-1)', files: files })
  const native = madeDeb('dpkg', '3.5.9-1', { files: { 'changelog.gz': CHANGELOG } })
  const before = lockOf({ root: [debOf('bash', '5.2-1'), debOf('dpkg', '3.5.7-1')] })
  const { upgrades } = await describe(before, lockOf({ root: [bash.deb, native.deb] }), [bash, native])
  assert.deepEqual(
    upgrades.map(({ source, lines }) => [source, lines[0]]),
    [
      ['bash', 'Rebuild'],
      ['dpkg', 'Import 3.5.9'],
    ],
  )
})

test('without a change the report says so', async () => {
  assert.equal(updateText(await describe(lockOf(), lockOf(), [])), 'nothing changed')
})
