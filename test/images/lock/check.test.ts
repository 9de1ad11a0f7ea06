// A lock that is older than the mirror: superseded packages are fetched while a source has them, and reported otherwise.
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { objectFile } from '../../../images/archive/fetch.ts'
import { checkLock } from '../../../images/lock/check.ts'
import { debOf, lockOf } from '../../kit/images/fake-locks.ts'

/** A mirror with zstd 1 and without bash. */
const server = createServer((request, response) => {
  if (request.url?.includes('zstd')) response.end('zstd 1')
  else response.writeHead(404).end()
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
after(() => server.close())
const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

const options = () => ({
  cacheDir: mkdtempSync(join(tmpdir(), 'mailfleet-check-')),
  mirrors: { debian: `${base}/debian`, security: `${base}/debian-security` },
})

test('nothing is fetched for an up-to-date lock', async () => {
  const lock = lockOf()
  const fresh = { ...lock, sourceDateEpoch: lock.sourceDateEpoch + 1 }
  assert.deepEqual(await checkLock(lock, fresh, options()), { differences: [], lost: null })
})

test('superseded packages are fetched into the cache, and those that no source has are listed', async () => {
  const o = options()
  const [zstd, bash] = [debOf('zstd', '1'), debOf('bash', '1')]
  const lock = lockOf({ root: [zstd, bash], tools: [zstd] })
  const fresh = lockOf({ root: [debOf('zstd', '2'), debOf('bash', '2')], tools: [debOf('zstd', '2')] })
  const { differences, lost } = await checkLock(lock, fresh, o)
  assert.deepEqual(differences, ['root: bash 1 → 2', 'root: zstd 1 → 2', 'tools: zstd 1 → 2'])
  assert.ok(existsSync(objectFile(o.cacheDir, zstd)))
  assert.match(lost?.message ?? '', /^1 locked package is gone[^]*bash 1 [^]*MAILFLEET_ARCHIVE[^]*--update$/)
})
