// The files of the list lie together, in any version, with all folders and links; the rest lies behind them.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { inReadOrder, pathsOf } from '../../../images/bake/read-order.ts'
import type { TarMember } from '../../../images/formats/tar-reader.ts'

function member(path: string, type: TarMember['type'] = 'file', link = '', startsAt = 0): TarMember {
  const at = { startsAt, endsAt: startsAt, contentAt: startsAt }
  return { path, type, link, size: 0, mode: 0o644, uid: 0, gid: 0, xattrs: [], ...at }
}

test('listed files come first in any version, with folders and links, and a hard link stays with its file', () => {
  const members = [
    member('usr', 'directory'),
    member('usr/lib/liba.so.7'),
    member('usr/lib/libb.so.1'),
    member('usr/lib/libb.so', 'symlink', 'libb.so.1'),
    member('usr/bin/a', 'hardlink', './usr/lib/liba.so.7'),
    member('usr/bin/b', 'hardlink', './usr/lib/libb.so.1'),
  ]
  const [first, rest] = inReadOrder(members, ['usr/lib/liba.so.6'])
  assert.deepEqual(
    first.map(({ path }) => path),
    ['usr', 'usr/lib/liba.so.7', 'usr/lib/libb.so', 'usr/bin/a'],
  )
  assert.deepEqual(
    rest.map(({ path }) => path),
    ['usr', 'usr/lib/libb.so.1', 'usr/bin/b'],
  )
})

test('of a path that occurs twice the later member is used', () => {
  const [first, rest] = inReadOrder([member('a'), member('a', 'file', '', 512)], ['a'])
  assert.deepEqual(
    first.map(({ startsAt }) => startsAt),
    [512],
  )
  assert.deepEqual(rest, [])
})

test('the list has files that every boot reads, and none of the server', () => {
  const list = pathsOf(readFileSync(join(import.meta.dirname, '../../../images/bake/boot-files.txt'), 'utf8'))
  assert.ok(list.length > 100)
  for (const path of ['usr/lib/mailfleet/node', 'usr/lib/systemd/systemd', 'usr/sbin/nft'])
    assert.ok(list.includes(path), path)
  assert.deepEqual(
    list.filter((path) => path.startsWith('/') || path.endsWith('server.mjs')),
    [],
  )
})
