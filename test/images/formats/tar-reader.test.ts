// Reading archives: our own, GNU tar's in both formats with long names, extended attributes, and a truncated one.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync, symlinkSync, linkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeTar } from '../../../images/formats/tar-writer.ts'
import { copyMembers, listTar, textOf } from '../../../images/formats/tar-reader.ts'
import { folderFor } from '../../kit/queue/embedded-harness.ts'

test('an archive of our own writer is listed with its entries', async (t) => {
  const archive = join(folderFor(t), 'a.tar')
  await writeTar(
    archive,
    [
      { path: 'var/spool', directory: true, mode: 0o700, uid: 900, gid: 901 },
      { path: 'etc/x', content: 'hello' },
      { path: 'etc/y', link: '/etc/x' },
    ],
    7,
  )
  appendFileSync(archive, Buffer.alloc(1024))
  const members = await listTar(archive)
  assert.deepEqual(
    members.map(({ path, type, mode, uid, gid, size, link }) => [path, type, mode, uid, gid, size, link]),
    [
      ['etc', 'directory', 0o755, 0, 0, 0, ''],
      ['etc/x', 'file', 0o644, 0, 0, 5, ''],
      ['etc/y', 'symlink', 0o777, 0, 0, 0, '/etc/x'],
      ['var', 'directory', 0o755, 0, 0, 0, ''],
      ['var/spool', 'directory', 0o700, 900, 901, 0, ''],
    ],
  )
  assert.equal(await textOf(archive, members[1] ?? assert.fail()), 'hello')
})

for (const format of ['gnu', 'pax'])
  test(`long names, links and everything between, as GNU tar writes them (${format})`, async (t) => {
    const folder = folderFor(t)
    const long = `${'d'.repeat(120)}/${'ü'.repeat(60)}`
    mkdirSync(join(folder, 'in', 'd'.repeat(120)), { recursive: true })
    writeFileSync(join(folder, 'in', long), 'content')
    symlinkSync('t'.repeat(150), join(folder, 'in/symbolic'))
    linkSync(join(folder, 'in', long), join(folder, 'in/z-hard'))
    const archive = join(folder, 'a.tar')
    execFileSync('tar', [
      `--format=${format}`,
      '--sort=name',
      '--directory',
      join(folder, 'in'),
      '--create',
      '--file',
      archive,
      '.',
    ])
    const members = await listTar(archive)
    const found = new Map(members.map((member) => [member.path, member]))
    assert.equal(await textOf(archive, found.get(long) ?? assert.fail()), 'content')
    assert.equal(found.get('symbolic')?.link, 't'.repeat(150))
    assert.equal(found.get('z-hard')?.type, 'hardlink')
    assert.equal(found.get('z-hard')?.link.replace('./', ''), long)
    for (const [index, { startsAt }] of members.entries())
      assert.equal(startsAt, index === 0 ? 0 : members[index - 1]?.endsAt)
  })

test('capabilities are listed among the extended attributes', async (t) => {
  const archive = join(folderFor(t), 'a.tar')
  await writeTar(archive, [{ path: 'ping', content: '' }], 0)
  appendFileSync(archive, Buffer.alloc(1024))
  const folder = folderFor(t)
  writeFileSync(join(folder, 'ping'), '')
  const withAttribute = join(folder, 'b.tar')
  // A pax header that says so: to give a file capabilities takes root's privileges.
  execFileSync('tar', [
    '--format=pax',
    '--pax-option=SCHILY.xattr.security.capability:=x',
    '--directory',
    folder,
    '--create',
    '--file',
    withAttribute,
    'ping',
  ])
  assert.deepEqual((await listTar(archive))[0]?.xattrs, [])
  assert.deepEqual((await listTar(withAttribute))[0]?.xattrs, ['security.capability'])
})

test('a truncated archive is an error', async (t) => {
  const archive = join(folderFor(t), 'a.tar')
  await writeTar(archive, [{ path: 'x', content: 'x'.repeat(2000) }], 0)
  truncateSync(archive, 1000)
  await assert.rejects(listTar(archive), /cut short/)
})

test('some members of an archive, with long names, are copied to a new archive', async (t) => {
  const folder = folderFor(t)
  const long = 'n'.repeat(150)
  for (const name of ['a', 'b', long]) writeFileSync(join(folder, name), `content of ${name}`)
  const archive = join(folder, 'all.tar')
  const argv = ['--format=pax', '--directory', folder, '--create', '--file', archive, 'a', 'b', long]
  execFileSync('tar', argv)
  const some = join(folder, 'some.tar')
  const chosen = (await listTar(archive)).filter(({ path }) => path !== 'b').toReversed()
  await copyMembers(archive, chosen, some)
  const found = await listTar(some)
  assert.deepEqual(
    found.map(({ path }) => path),
    [long, 'a'],
  )
  assert.equal(await textOf(some, found[0] ?? assert.fail()), `content of ${long}`)
  assert.match(execFileSync('tar', ['--list', '--file', some], { encoding: 'utf8' }), /^n{150}\na\n$/)
})
