// Queues and entries for tests. Owns: the folder of each test, which is deleted afterwards. It is below /var/tmp, because
// the queue refuses a tmpfs and a machine's /tmp may be one.
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import {
  openEmbeddedQueue,
  type EmbeddedQueue,
  type EmbeddedQueueOptions,
} from '../../../server/queue/embedded/engine.ts'
import type { Destination, NewEntry } from '../../../server/queue/entry.ts'

export const LEASE_MS = 60_000

/** The start of test clocks, with room for earlier due times. */
export const START_MS = Date.UTC(2030, 0, 1)

/** A folder on disk for one test. */
export function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join('/var/tmp', 'mailfleet-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A clock that stands still until the test moves it. */
export function stoppedClock() {
  const clock = { nowMs: START_MS, now: () => clock.nowMs }
  return clock
}

/** Opens a queue and closes it after the test. */
export async function queueFor(
  t: TestContext,
  options: Partial<EmbeddedQueueOptions> = {},
): Promise<EmbeddedQueue> {
  const path = options.path ?? folderFor(t)
  const bounds = { maxEntries: 200_000, maxBytes: 1024 * 1024 * 1024, volatile: false }
  const queue = await openEmbeddedQueue({ ...bounds, path, ...options })
  t.after(() => queue.close())
  return queue
}

export function destination(address: string, state: Destination['state'] = 'pending'): Destination {
  return { address, originalRecipient: 'info@example.org', state, reply: '', status: '', remoteHost: '' }
}

export function entryFor(over: Partial<NewEntry> = {}): NewEntry {
  return {
    reversePath: 'sender@example.com',
    destinations: [destination('a@example.net'), destination('b@example.net')],
    sizeBytes: 0,
    acceptedMs: START_MS,
    dueMs: START_MS,
    expiresMs: START_MS + 5 * 24 * 60 * LEASE_MS,
    eightBit: false,
    smtpUtf8: false,
    ...over,
  }
}
