// Compares two images, each section by its keys. Boot facts are compared only if both images were booted.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareImages } from '../../../images/diff/compare.ts'
import { diffPage } from '../../../images/diff/html.ts'
import { diffText } from '../../../images/diff/text.ts'
import { receipt, side } from '../../kit/images/fake-sides.ts'

const kernel = (name: string, release: string, version: string) => ({
  packages: [{ name, version, architecture: 'amd64' }],
  kernel: { package: name, version, release, commandLine: `ro roothash=${version}`, config: '' },
})

test('an update of the kernel is one change, and the root’s hash on the command line is none', () => {
  const before = side(kernel('linux-image-6.12.1', '6.12.1', '1'))
  const after = side(kernel('linux-image-6.12.2', '6.12.2', '2'))
  const { changes } = compareImages(before, after)
  assert.deepEqual(changes.packages, [{ key: 'linux-image', kind: 'changed', before: '1', after: '2' }])
  assert.deepEqual(changes.commandLine, [])
})

test('files, rights, settings, parameters, configuration and sizes are compared key by key', () => {
  const file = { type: 'file' as const, uid: 0, gid: 0, package: 'libc6', size: 1 }
  const before = side(
    { sysctls: { a: '1' }, unitProperties: { 'x.service': { 'Service.User': ['mail'] } } },
    {
      files: [{ path: '/a', mode: '0644', sha256: '1', ...file }],
      kernelConfig: 'CONFIG_A=y\n# CONFIG_B is not set\n',
    },
  )
  const after = side(
    {
      setuid: ['/a'],
      sysctls: { a: '0' },
      unitProperties: { 'x.service': {} },
      sizesByPackage: { libc6: 5 },
    },
    { files: [{ path: '/a', mode: '4755', sha256: '1', ...file }], kernelConfig: 'CONFIG_A=m\n' },
  )
  const { changes } = compareImages(before, after)
  assert.deepEqual(changes.files, [
    { key: '/a', kind: 'changed', before: 'file 0644 0:0 1 (libc6)', after: 'file 4755 0:0 1 (libc6)' },
  ])
  assert.deepEqual(changes.setuid, [{ key: '/a', kind: 'added', after: '' }])
  assert.deepEqual(changes.sysctls, [{ key: 'a', kind: 'changed', before: '1', after: '0' }])
  assert.deepEqual(changes.unitProperties, [
    { key: 'x.service Service.User', kind: 'removed', before: 'mail' },
  ])
  assert.deepEqual(changes.kernelConfig, [{ key: 'CONFIG_A', kind: 'changed', before: 'y', after: 'm' }])
  assert.deepEqual(changes.sizes, [{ key: 'of libc6', kind: 'added', after: '5' }])
})

test('sockets and boots are compared only where both images were booted', () => {
  const booted = side({}, { receipt: receipt({ listening: ['tcp :::25', 'tcp :::80'] }) })
  const old = side({}, { receipt: receipt() })
  assert.deepEqual(compareImages(old, booted).changes.listening, [
    { key: 'tcp :::80', kind: 'added', after: '' },
  ])
  const { changes, notBooted } = compareImages(side(), booted)
  assert.deepEqual([changes.listening, changes.outgoing, changes.boot], [null, null, null])
  assert.deepEqual(notBooted, ['before'])
})

test('what was not compared is said as such, in text and on the page', () => {
  const diff = compareImages(side(), side({}, { receipt: receipt() }))
  assert.match(
    diffText(diff, undefined),
    /Listening sockets: not compared\n\nAddresses spoken to: not compared/,
  )
  assert.match(diffPage(diff, undefined), /<p class="no">Listening sockets: not compared<\/p>/)
  assert.doesNotMatch(diffPage(diff, undefined), /Listening sockets: no change/)
})

test('texts are compared line by line', () => {
  const before = side({}, { texts: { '/etc/a': 'one\ntwo\nthree', '/etc/b': 'x\n' } })
  const after = side({}, { texts: { '/etc/a': 'one\n2\nthree\n', '/etc/c': '<y>\n' } })
  const diff = compareImages(before, after)
  assert.deepEqual(diff.changes.texts, [
    { key: '/etc/a', kind: 'changed', lines: ['- two', '+ 2'] },
    { key: '/etc/b', kind: 'removed', lines: ['- x'] },
    { key: '/etc/c', kind: 'added', lines: ['+ <y>'] },
  ])
  assert.match(diffText(diff, undefined), /\/etc\/a changed\n {4}- two\n {4}\+ 2\n {2}\/etc\/b removed/)
  assert.match(diffPage(diff, undefined), /<span class="added">\+ &lt;y&gt;<\/span>/)
})

test('a bundled npm package is compared by its versions', () => {
  const bundled = (...versions: string[]) =>
    side({ bundled: versions.map((version) => ({ name: 'ms', version })) })
  const { changes } = compareImages(bundled('2.0.0'), bundled('2.0.0', '2.1.3'))
  const expected = { key: 'ms (bundled)', kind: 'changed', before: '2.0.0', after: '2.0.0, 2.1.3' }
  assert.deepEqual(changes.npm, [expected])
})

test('text groups files by package; the page shows names of an image as text and asks nobody for anything', () => {
  const nasty = '<script src="//x">&'
  const file = { type: 'file' as const, mode: '0644', uid: 0, gid: 0, package: `${nasty}`, sha256: '1' }
  const files = Array.from({ length: 3000 }, (_, index) => ({ ...file, path: `/${nasty}${index}` }))
  const diff = compareImages(side(), side({ setuid: [nasty] }, { files }))
  const text = diffText(diff, ['no'])
  assert.match(text, /Files: 3000 added\n {2}<script src="\/\/x">&: 3000 added\n/)
  assert.match(text, /The policy forbids 1:\n {2}no$/)
  const page = diffPage(diff, [nasty])
  const tags = new Set(
    [...page.matchAll(/<\/?([a-z!][a-z0-9]*)/gi)].map(([, name = '']) => name.toLowerCase()),
  )
  const known = 'html meta title style h1 p code br div ul li details summary b table tr td !doctype'.split(
    ' ',
  )
  assert.deepEqual(
    [...tags].filter((name) => !known.includes(name)),
    [],
  )
  assert.doesNotMatch(page.split('</style>')[0] ?? '', /url\(|@import/)
  assert.equal(page.match(/&lt;script src=&quot;\/\/x&quot;&gt;&amp;\d+<td>/g)?.length, 3000)
})
