// A process that fills the disk under a queue, removes every entry while the disk is full, and fills it again. Arguments:
// the queue's folder, bytes of each body. Prints its counts as one line of JSON.
import { setTimeout as sleep } from 'node:timers/promises'
import { openEmbeddedQueue } from '../../../server/queue/embedded/engine.ts'
import { QueueFullError } from '../../../server/queue/queue.ts'
import { destination, entryFor } from './embedded-harness.ts'

const [path = '', bodyBytes = '0'] = process.argv.slice(2)
const queue = await openEmbeddedQueue({ path, maxEntries: 1e6, maxBytes: 1e12, volatile: true })
const body = Buffer.alloc(Number(bodyBytes), 'x')

async function fill() {
  const accepted = new Set<string>()
  let refused = 0
  let otherErrors = 0
  while (refused + otherErrors < 30) {
    const three = [1, 2, 3].map(() => queue.enqueue(entryFor({ dueMs: 0 }), body))
    for (const result of await Promise.allSettled(three)) {
      if (result.status === 'fulfilled') accepted.add(result.value)
      else if (result.reason instanceof QueueFullError) refused++
      else otherErrors++
    }
  }
  return { accepted, refused, otherErrors }
}

const { accepted, refused, otherErrors } = await fill()
const waiting = new Set(accepted)
let worked = 0
for (let held = await queue.lease(7, 60_000); held.length > 0; held = await queue.lease(7, 60_000)) {
  for (const lease of held) {
    await queue.record(lease, [{ ...destination('a@example.net', 'delivered'), reply: '250 '.repeat(50) }])
    if (queue.body(lease).equals(body) && (await queue.settle(lease, { kind: 'remove' }))) worked++
    waiting.delete(lease.entry.id)
  }
}
// After a full disk the queue refuses new mail for a second.
await sleep(1100)
const again = await fill()
const said = { accepted: accepted.size, refused, otherErrors, worked, lost: waiting.size }
console.log(JSON.stringify({ ...said, acceptedAgain: again.accepted.size }))
await queue.close()
