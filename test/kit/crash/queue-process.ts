// A process that only uses the queue. It writes each line of output at once, so that lines before a SIGKILL can be read
// after it.
// Arguments: the queue's folder, 'enqueue' or 'work'. Its lines:
// - stored ID: enqueue resolved for the message with this test id
// - done ID: a worker did the work; written before it settles
// - damaged ID: the body does not belong to the id
import { createHash, randomUUID } from 'node:crypto'
import { writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEmbeddedQueue } from '../../../server/queue/embedded/engine.ts'
import { QueueFullError } from '../../../server/queue/queue.ts'
import type { Destination, Lease } from '../../../server/queue/entry.ts'

/** Short, so that the entries of a killed worker return within the test. */
const LEASE_MS = 400
const BACKLOG_ENTRIES = 2000
const CONCURRENCY = 10

const [path = '', role] = process.argv.slice(2)
const queue = await openEmbeddedQueue({ path, maxEntries: BACKLOG_ENTRIES, maxBytes: 1e9, volatile: false })
writeSync(1, 'up\n')
await Promise.all(Array.from({ length: CONCURRENCY }, role === 'enqueue' ? enqueueForever : workForever))

function bodyOf(testId: string): Buffer {
  const digest = createHash('sha256').update(testId).digest()
  // 32 bytes to 16 KiB: some inside a page, some over several.
  return Buffer.alloc(32 + digest.readUInt16LE(0) / 4, digest)
}

async function enqueueForever(): Promise<never> {
  for (;;) {
    const testId = randomUUID()
    const nowMs = Date.now()
    const destination = { address: testId, originalRecipient: '', reply: '', status: '', remoteHost: '' }
    const destinations: Destination[] = [{ ...destination, state: 'pending' }]
    const flags = { eightBit: false, smtpUtf8: false }
    const times = { acceptedMs: nowMs, dueMs: nowMs, expiresMs: nowMs + 1e9 }
    try {
      await queue.enqueue(
        { reversePath: testId, destinations, sizeBytes: 0, ...times, ...flags },
        bodyOf(testId),
      )
      writeSync(1, `stored ${testId}\n`)
    } catch (error) {
      if (!(error instanceof QueueFullError)) throw error
      await sleep(20)
    }
  }
}

async function workForever(): Promise<never> {
  for (;;) {
    const held = await queue.lease(5, LEASE_MS)
    if (held.length === 0) await sleep(5)
    for (const lease of held) await workOn(lease)
  }
}

/** Reschedules every third entry once, so that kills hit settled, rescheduled and recorded entries. */
async function workOn(lease: Lease): Promise<void> {
  const testId = lease.entry.reversePath
  if (lease.expiresMs <= Date.now()) return
  if (lease.entry.attempts === 0 && testId.charCodeAt(0) % 3 === 0) {
    await queue.settle(lease, { kind: 'reschedule', dueMs: Date.now() + 30 })
    return
  }
  writeSync(1, `${queue.body(lease).equals(bodyOf(testId)) ? 'done' : 'damaged'} ${testId}\n`)
  const destinations = lease.entry.destinations.map((one) => ({ ...one, state: 'delivered' as const }))
  if (await queue.record(lease, destinations)) await queue.settle(lease, { kind: 'remove' })
}
