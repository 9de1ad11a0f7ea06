// The mirror: from the environment first, then from apt's files in both formats.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { findMirrors } from '../../../images/archive/mirrors.ts'

function aptDir(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-apt-'))
  mkdirSync(join(folder, 'sources.list.d'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

test('deb822 sources: main and security are found by suite; comments and other vendors are skipped', () => {
  const folder = aptDir({
    'sources.list.d/debian.sources': [
      'Types: deb',
      '# a comment inside a stanza',
      'URIs: http://mirror.example/debian/',
      'Suites: bookworm',
      ' bookworm-updates',
      'Components: main',
      '',
      'Types: deb',
      'URIs: http://security.example/debian-security',
      'Suites: bookworm-security',
      'Components: main contrib',
    ].join('\n'),
    'sources.list.d/aaa.sources':
      'Types: deb\nURIs: http://other.example/node\nSuites: nodistro\nComponents: main\n',
  })
  assert.deepEqual(findMirrors({}, folder), {
    debian: 'http://mirror.example/debian',
    security: 'http://security.example/debian-security',
  })
})

test('one-line sources, with options; sources without packages do not count', () => {
  const folder = aptDir({
    'sources.list': [
      '# deb http://commented.example/debian trixie main',
      'deb-src http://source.example/debian trixie main',
      'deb [arch=amd64 signed-by=/k.gpg] https://mirror.example/debian trixie main # ours',
      'deb https://mirror.example/debian-security trixie-security main',
    ].join('\n'),
  })
  assert.deepEqual(findMirrors({}, folder), {
    debian: 'https://mirror.example/debian',
    security: 'https://mirror.example/debian-security',
  })
})

test('a disabled stanza does not count', () => {
  const stanza = (host: string, more: string) =>
    `Types: deb\nURIs: http://${host}/debian\nSuites: trixie\nComponents: main\n${more}`
  const folder = aptDir({
    'sources.list.d/a.sources': stanza('off.example', 'Enabled: no\n'),
    'sources.list.d/b.sources': stanza('on.example', ''),
  })
  assert.equal(findMirrors({}, folder).debian, 'http://on.example/debian')
})

test('a file with a list of mirrors is read, as in Debian’s cloud images', () => {
  const folder = aptDir({ list: 'http://first.example/debian\nhttp://second.example/debian\n' })
  writeFileSync(
    join(folder, 'sources.list.d/debian.sources'),
    `Types: deb deb-src\nURIs: mirror+file://${join(folder, 'list')}\nSuites: trixie trixie-updates\nComponents: main\n`,
  )
  assert.equal(findMirrors({}, folder).debian, 'http://first.example/debian')
})

test('the environment comes first, and the security archive is expected beside a single mirror', () => {
  const folder = aptDir({ 'sources.list': 'deb http://mirror.example/debian trixie main' })
  assert.deepEqual(findMirrors({ MAILFLEET_MIRROR: 'http://own.example/debian/' }, folder), {
    debian: 'http://own.example/debian',
    security: 'http://own.example/debian-security',
  })
  assert.deepEqual(findMirrors({ MAILFLEET_MIRROR: 'http://a.example/d http://b.example/s' }, folder), {
    debian: 'http://a.example/d',
    security: 'http://b.example/s',
  })
})

test('without a mirror the error names the variable to set', () => {
  assert.throws(() => findMirrors({}, aptDir({})), /MAILFLEET_MIRROR/)
})
