// A second process on the same queue. Arguments: the queue's folder, the action, its details.
import { writeSync } from 'node:fs'
import { openEnvironment } from '../../../server/queue/embedded/durable.ts'
import { openEmbeddedQueue } from '../../../server/queue/embedded/engine.ts'
import { openLayout } from '../../../server/queue/embedded/layout.ts'
import { createEntry as made } from '../../../server/queue/new-entry.ts'
import { insertEntry } from '../../../server/queue/embedded/rows.ts'
import { LEASE_MS, entryFor } from './embedded-harness.ts'

const [path = '', what, count = '1', bytes = '1'] = process.argv.slice(2)
const open = () => openEmbeddedQueue({ path, maxEntries: 1e6, maxBytes: 1e9, volatile: false })

/** Leases everything in small batches and prints the ids. */
async function leaseAll(): Promise<void> {
  const queue = await open()
  for (let held = await queue.lease(7, LEASE_MS); held.length > 0; held = await queue.lease(7, LEASE_MS)) {
    for (const { entry } of held) console.log(entry.id)
  }
  await queue.close()
}

async function enqueue(): Promise<void> {
  const queue = await open()
  for (let i = 0; i < Number(count); i++) {
    await queue.enqueue(entryFor({ dueMs: 0 }), Buffer.alloc(Number(bytes), 'x'))
  }
  await queue.close()
}

/** Dies while it holds the write lock, in the middle of its writes. */
async function dieWriting(): Promise<void> {
  const environment = openEnvironment(path, true, 1024 * 1024)
  const layout = openLayout(environment)
  await environment.transaction(() => {
    for (let i = 0; i < 50; i++)
      insertEntry(layout, made(entryFor({ dueMs: 0 }), Buffer.from('half'), 0), Buffer.from('half'))
    process.kill(process.pid, 'SIGKILL')
  })
}

/** Reports when it holds the write lock, and holds it for a minute. */
function hold(): Promise<void> {
  const environment = openEnvironment(path, true, 1024 * 1024)
  environment.transactionSync(() => {
    writeSync(1, 'held\n')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LEASE_MS)
  })
  return environment.close()
}

async function dieReading(): Promise<void> {
  const queue = await open()
  await queue.enqueue(entryFor(), Buffer.from('x'))
  queue.stats()
  process.kill(process.pid, 'SIGKILL')
}

const actions: Record<string, () => Promise<void>> = {
  lease: leaseAll,
  enqueue,
  hold,
  'die-writing': dieWriting,
  'die-reading': dieReading,
}
await actions[what ?? '']?.()
