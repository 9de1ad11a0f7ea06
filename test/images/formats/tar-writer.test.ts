// Archives in both written formats, read back by other programs.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { regularFile, symbolicLink, writeCpio } from '../../../images/formats/cpio.ts'
import { joinTars, writeTar, type TarEntry } from '../../../images/formats/tar-writer.ts'

const newFolder = () => mkdtempSync(join(tmpdir(), 'mailfleet-tar-'))
const longPath = `usr/lib/${'a'.repeat(90)}/${'b'.repeat(60)}/file`

test('tar reads the archive: folders, modes, owners, links, long paths', async () => {
  const folder = newFolder()
  const file = join(folder, 'x.tar')
  writeFileSync(join(folder, 'big'), Buffer.alloc(1_000_000, 7))
  await writeTar(
    file,
    [
      { path: 'usr/bin/tool', content: '#!/bin/sh\n', mode: 0o755 },
      { path: 'etc/resolv.conf', link: '../run/resolv.conf' },
      { path: 'var/spool/mail', directory: true, mode: 0o700, uid: 900, gid: 901 },
      { path: 'big', file: join(folder, 'big') },
      { path: longPath, content: 'deep' },
    ],
    1_700_000_000,
  )
  const list = execFileSync('tar', ['--list', '--verbose', '--numeric-owner', '--utc', '--file', file], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  })
  const tidy = list.replace(/ +/g, ' ')
  assert.match(tidy, /-rwxr-xr-x 0\/0 10 2023-11-14 22:13 \.\/usr\/bin\/tool/)
  assert.match(tidy, /lrwxrwxrwx 0\/0 0 \S+ \S+ \.\/etc\/resolv\.conf -> \.\.\/run\/resolv\.conf/)
  assert.match(tidy, /drwx------ 900\/901 0 \S+ \S+ \.\/var\/spool\/mail\//)
  assert.match(tidy, /drwxr-xr-x 0\/0 0 \S+ \S+ \.\/usr\/\n/)
  assert.ok(tidy.includes(`./${longPath}`))
  const out = newFolder()
  execFileSync('tar', ['--extract', '--no-same-owner', '--file', file, '--directory', out])
  assert.equal(statSync(join(out, 'big')).size, 1_000_000)
})

test('equal entries in any order give equal bytes', async () => {
  const folder = newFolder()
  const entries: TarEntry[] = [
    { path: 'b/c', content: 'c' },
    { path: 'a', content: 'a' },
  ]
  await writeTar(join(folder, '1'), entries, 5)
  await writeTar(join(folder, '2'), entries.toReversed(), 5)
  assert.deepEqual(readFileSync(join(folder, '1')), readFileSync(join(folder, '2')))
})

test('joined archives read as one, and the later entry counts', async () => {
  const folder = newFolder()
  const [one, two, joined] = [join(folder, 'one.tar'), join(folder, 'two.tar'), join(folder, 'joined.tar')]
  writeFileSync(join(folder, 'kept'), 'kept')
  writeFileSync(join(folder, 'conf'), 'old')
  execFileSync('tar', ['--create', '--file', one, '--directory', folder, 'kept', 'conf'])
  await writeTar(two, [{ path: 'conf', link: 'kept' }], 5)
  await joinTars(joined, [one, two])
  const out = newFolder()
  execFileSync('tar', ['--extract', '--file', joined, '--directory', out])
  assert.equal(readFileSync(join(out, 'kept'), 'utf8'), 'kept')
  assert.equal(readlinkSync(join(out, 'conf')), 'kept')
})

test('a path too long for a header is an error', async () => {
  const file = join(newFolder(), 'x.tar')
  await assert.rejects(writeTar(file, [{ path: 'x'.repeat(120), content: '' }], 0), /path too long/)
})

test('a cpio archive has the records the kernel expects', () => {
  const archive = writeCpio([
    { path: 'bin/sh', mode: regularFile(0o755), content: 'abcde' },
    { path: 'lib', mode: symbolicLink, content: 'usr/lib' },
  ])
  assert.deepEqual(recordsOf(archive), [
    { name: 'bin', mode: 0o040755, content: '' },
    { name: 'bin/sh', mode: 0o100755, content: 'abcde' },
    { name: 'lib', mode: 0o120777, content: 'usr/lib' },
    { name: 'TRAILER!!!', mode: 0, content: '' },
  ])
})

/** Reads newc records by cpio(5): a header of 13 eight-digit hex fields after the magic, name and data padded to 4. */
function recordsOf(archive: Buffer) {
  const records = []
  const padded = (at: number) => Math.ceil(at / 4) * 4
  for (let at = 0; at < archive.length;) {
    assert.equal(archive.toString('latin1', at, at + 6), '070701')
    const field = (index: number) =>
      parseInt(archive.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16)
    const [mode, size, nameSize] = [field(1), field(6), field(11)]
    const name = archive.toString('utf8', at + 110, at + 110 + nameSize - 1)
    const data = padded(at + 110 + nameSize)
    records.push({ name, mode, content: archive.toString('utf8', data, data + size) })
    at = padded(data + size)
  }
  return records
}
