// A lock file that does not take the correction gives an error, not a loop.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { RootDatabase } from 'lmdb'
import {
  writeFromNewestState,
  writeFromNewestStateSync,
} from '../../../../server/queue/embedded/newest-state.ts'
import { folderFor } from '../../../kit/queue/embedded-harness.ts'

/** An environment whose transactions start from before the newest, whatever its lock file says. */
function stale(t: TestContext): RootDatabase {
  const path = folderFor(t)
  writeFileSync(join(path, 'lock.mdb'), Buffer.alloc(64))
  const environment = {
    path,
    getStats: () => ({ lastTxnId: 7 }),
    getWriteTxnId: () => 7,
    transaction: (run: () => void) => Promise.resolve(run()),
    transactionSync: (run: () => unknown) => run(),
  }
  return environment as unknown as RootDatabase
}

test('a transaction that never starts from the newest state writes nothing and fails', async (t) => {
  const environment = stale(t)
  let written = 0
  const write = () => written++
  await assert.rejects(
    writeFromNewestState(environment, write),
    /newest state, in 100 tries: is lock\.mdb damaged\?/,
  )
  assert.throws(() => writeFromNewestStateSync(environment, write), /newest state, in 100 tries/)
  assert.equal(written, 0)
})
