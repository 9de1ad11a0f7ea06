// The installed packages are compared with the lock.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { installedDifferences } from '../../../images/bake/base-layer.ts'
import { debOf } from '../../kit/images/fake-locks.ts'

const stanza = (name: string, version: string, status = 'install ok installed') =>
  `Package: ${name}\nStatus: ${status}\nVersion: ${version}\nDescription: x\n .\n more`

test('a root with exactly the locked packages has no differences', () => {
  const locked = [debOf('bash', '5.2'), debOf('libc6', '1:2.41')]
  const status = [stanza('bash', '5.2'), stanza('libc6', '1:2.41')].join('\n\n')
  assert.deepEqual(installedDifferences(`${status}\n\n`, locked), [])
})

test('a package that is missing, extra, half-installed or of another version is listed', () => {
  const locked = [debOf('bash', '5.2'), debOf('cpio', '1'), debOf('dash', '2'), debOf('zstd', '3')]
  const status = [
    stanza('bash', '5.3'),
    stanza('dash', '2', 'install ok unpacked'),
    stanza('vim', '9'),
    stanza('zstd', '3'),
  ]
  assert.deepEqual(installedDifferences(status.join('\n\n'), locked), [
    '  bash: installed 5.3, locked 5.2',
    '  dash: installed install ok unpacked, locked 2',
    '  vim: installed 9, locked not',
    '  cpio: installed not, locked 1',
  ])
})
