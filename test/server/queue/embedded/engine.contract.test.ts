// The contract on the embedded queue, with a clock that the test moves.
import { test, type TestContext } from 'node:test'
import { groupCommit, openEnvironment } from '../../../../server/queue/embedded/durable.ts'
import { openLayout } from '../../../../server/queue/embedded/layout.ts'
import { createEntry as made } from '../../../../server/queue/new-entry.ts'
import { insertEntry } from '../../../../server/queue/embedded/rows.ts'
import { ENTRY_VERSION } from '../../../../server/queue/version.ts'
import { folderFor, entryFor, queueFor, stoppedClock } from '../../../kit/queue/embedded-harness.ts'
import { CONTRACT } from '../../../kit/contract/contract.ts'
import type { QueueHarness } from '../../../kit/queue/harness.ts'

for (const [name, run] of Object.entries(CONTRACT)) test(name, (t) => run(settingFor(t)))

function settingFor(t: TestContext): QueueHarness {
  const clock = stoppedClock()
  let passedMs = 0
  const path = folderFor(t)
  return {
    // A queue that the case itself has closed is closed once more, which does nothing.
    open: (options = {}) => queueFor(t, { path, now: clock.now, monotonic: () => passedMs, ...options }),
    now: clock.now,
    advance: (ms) => {
      clock.nowMs += ms
      passedMs += ms
      return Promise.resolve()
    },
    step: (ms) => {
      clock.nowMs += ms
    },
    addUnknown: async (text) => {
      const body = Buffer.from(text)
      const entry = { ...made(entryFor({ dueMs: 0 }), body, clock.nowMs), version: ENTRY_VERSION + 1 }
      await withRows(path, (layout) => insertEntry(layout, entry, body))
    },
    countUnknown: (text) =>
      withRows(path, (layout) => {
        const bodies = [...layout.bodies.getRange({})]
        return bodies.filter(({ value }) => Buffer.from(value).toString().includes(text)).length
      }),
    deadLetters: () => 0,
  }
}

async function withRows<T>(path: string, use: (layout: ReturnType<typeof openLayout>) => T): Promise<T> {
  const environment = openEnvironment(path, true, 1024 * 1024)
  const layout = openLayout(environment)
  const result = await groupCommit(environment, Date.now).run(() => use(layout))
  await environment.close()
  return result
}
