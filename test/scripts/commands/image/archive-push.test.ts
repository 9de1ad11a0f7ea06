// `mailfleet image archive` and `image lock` as commands: wrong arguments, and dry runs.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { lockedDebs, readLock } from '../../../../images/lock-file.ts'

const root = join(import.meta.dirname, '../../../..')
const folder = mkdtempSync(join(tmpdir(), 'mailfleet-archive-command-'))
const lock = readLock(join(root, 'images/image.lock.json'))
const files = lockedDebs(lock).length + 1 + new Set(lock.native.map(({ integrity }) => integrity)).size

/** An empty cache, no archive named, and a mirror that nobody is. */
const env = {
  PATH: process.env['PATH'],
  HOME: folder,
  MAILFLEET_CACHE: join(folder, 'cache'),
  MAILFLEET_MIRROR: 'http://127.0.0.1:1/debian',
}
const image = (...args: string[]) =>
  spawnSync(process.execPath, [join(root, 'scripts/run.mjs'), 'image', ...args], { encoding: 'utf8', env })

test('a missing or invalid target is exit 2, and the message says what is expected', () => {
  const none = image('archive', 'push')
  assert.equal(none.status, 2)
  assert.match(none.stderr, /target: expected .*MAILFLEET_ARCHIVE, found nothing/)
  const wrong = image('archive', 'pull', 'ftp://host/x')
  assert.equal(wrong.status, 2)
  assert.match(wrong.stderr, /expected a directory, file:.*found "ftp:\/\/host\/x"/)
  assert.equal(image('archive', 'push', 'http://127.0.0.1:1/x').status, 2)
})

test('dry runs count every file of the lock and write nothing', () => {
  const archive = join(folder, 'archive')
  const push = image('archive', 'push', archive, '--dry-run', '--json')
  assert.equal(push.status, 0, push.stderr)
  const { moved, dryRun } = JSON.parse(push.stdout) as { moved: number; dryRun: boolean }
  assert.deepEqual({ moved, dryRun }, { moved: files, dryRun: true })
  assert.equal(existsSync(archive), false)
  mkdirSync(archive)
  const pull = image('archive', 'pull', archive, '--dry-run')
  assert.match(pull.stdout, new RegExp(`^${files} of ${files} files would be copied from archive `))
  assert.deepEqual(readdirSync(archive), [])
})

test('--check and --update exclude each other', () => {
  const both = image('lock', '--check', '--update')
  assert.equal(both.status, 2)
  assert.match(both.stderr, /'--check'|'--update'/)
})

test('a mirror with an unreadable suite is an error, not a lock without its updates', () => {
  const { status, stdout, stderr } = image('lock', '--update')
  assert.equal(status, 1)
  assert.equal(stdout, '')
  assert.match(stderr, /connect[^]*MAILFLEET_MIRROR takes two addresses/)
  assert.doesNotMatch(stderr, /alone/)
  assert.deepEqual(readLock(join(root, 'images/image.lock.json')), lock)
})
