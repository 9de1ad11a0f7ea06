// A full disk: a file system of 6 MiB, mounted in a namespace of its own.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { folderFor } from '../../../kit/queue/embedded-harness.ts'

const mounted = (folder: string, command: string[]) =>
  spawnSync(
    'unshare',
    [
      '--map-root-user',
      '--mount',
      'sh',
      '-c',
      'mount -t tmpfs -o size=6m none "$0" && exec "$@"',
      folder,
      ...command,
    ],
    { encoding: 'utf8' },
  )

test('a full disk refuses with QueueFullError, loses nothing, and works again with room', (t) => {
  const folder = folderFor(t)
  if (mounted(folder, ['true']).status !== 0) {
    t.skip('no user namespaces here: nothing can be mounted')
    return
  }
  const program = join(import.meta.dirname, '../../../kit/queue/fill-disk.ts')
  for (const bodyBytes of [300, 4096, 60_000]) {
    const ran = mounted(folder, [process.execPath, program, folder, String(bodyBytes)])
    assert.equal(ran.status, 0, ran.stderr)
    const { accepted, refused, otherErrors, worked, lost, acceptedAgain } = JSON.parse(ran.stdout) as Record<
      string,
      number
    >
    t.diagnostic(`${bodyBytes} bytes: ${accepted} accepted, then ${refused} refused`)
    assert.ok(accepted !== undefined && accepted > 20)
    assert.ok(refused !== undefined && refused > 0)
    assert.equal(otherErrors, 0, 'every refusal is a QueueFullError')
    assert.equal(worked, accepted, 'a full disk lets what is queued be worked off')
    assert.equal(lost, 0)
    assert.ok(acceptedAgain !== undefined && acceptedAgain > 20)
  }
})

test('a disk that is full from the start gives an error that may pass, not a crash', (t) => {
  const folder = folderFor(t)
  if (mounted(folder, ['true']).status !== 0) {
    t.skip('no user namespaces here: nothing can be mounted')
    return
  }
  const program = join(import.meta.dirname, '../../../kit/queue/enqueue-each.ts')
  const fillFirst = 'head -c 7m /dev/zero > "$0/ballast" 2>/dev/null; exec "$@"'
  const ran = mounted(folder, [
    'sh',
    '-c',
    fillFirst,
    folder,
    process.execPath,
    program,
    folder,
    '1',
    'volatile',
  ])
  assert.match(ran.stderr, /SpoolUnusableError[^]*ENOSPC/)
})
