// The time limits of a drain, by its reason.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { drain, type StopReason } from '../../../server/fleet/drain.ts'

/** In no group. */
const ALONE = { released: () => Promise.resolve(), releaseMs: 0, hurry: new AbortController().signal }

/** Drains nothing. @returns the bound that was logged, and the exit code. */
async function drained(reason: StopReason, timeoutMs: number) {
  let bound: unknown
  const code = await drain(reason, {
    timeoutMs,
    log: (event, fields) => {
      if (event === 'draining') bound = fields?.['timeoutMs']
    },
    sessions: () => Promise.resolve(),
    deliveries: () => Promise.resolve(),
    close: () => Promise.resolve(),
    ...ALONE,
  })
  return { bound, code }
}

test('a spot instance ends within two minutes of its notice, whatever the configuration allows', async () => {
  assert.deepEqual(await drained('spot-interruption', 300_000), { bound: 100_000, code: 0 })
  assert.deepEqual(await drained('spot-interruption', 5_000), { bound: 5_000, code: 0 })
})

test('all other reasons get the configured time, and only an error exits with 1', async () => {
  for (const reason of ['SIGTERM', 'SIGINT', 'terminating'] as const)
    assert.deepEqual(await drained(reason, 300_000), { bound: 300_000, code: 0 })
  assert.deepEqual(await drained('error', 300_000), { bound: 300_000, code: 1 })
})

test('closing that does not end is cut off at the limit', async () => {
  const lines: object[] = []
  const code = await drain('terminating', {
    timeoutMs: 200,
    log: (event, fields) => lines.push({ event, ...fields }),
    sessions: () => Promise.resolve(),
    deliveries: () => Promise.resolve(),
    close: () => new Promise(() => {}),
    ...ALONE,
  })
  assert.equal(code, 0)
  assert.match(JSON.stringify(lines.at(-1)), /"drained","closed":false/)
})

/** @returns whether the wait for the group was ended by its bound, which is below a minute or not. */
async function waitedFor(reason: StopReason, timeoutMs: number, releaseMs: number): Promise<boolean> {
  let ended = false
  await drain(reason, {
    timeoutMs,
    log: () => {},
    sessions: () => Promise.resolve(),
    deliveries: () => Promise.resolve(),
    close: () => Promise.resolve(),
    hurry: new AbortController().signal,
    releaseMs,
    released: async (signal) => {
      await Promise.race([once(signal, 'abort').then(() => (ended = true)), sleep(2_000)])
    },
  })
  return ended
}

test('a terminating instance waits for its group beyond the drain, unless the machine shuts down', async () => {
  assert.equal(await waitedFor('terminating', 100, 60_000), false)
  assert.equal(await waitedFor('terminating', 100, 200), true)
  assert.equal(await waitedFor('SIGTERM', 100, 60_000), true)
})

test('nothing is closed before sessions and deliveries have ended', async () => {
  const order: string[] = []
  const ended = (what: string, ms: number) => async () => {
    await new Promise((resolve) => setTimeout(resolve, ms))
    order.push(what)
  }
  await drain('SIGTERM', {
    timeoutMs: 60_000,
    log: () => {},
    sessions: ended('sessions', 20),
    deliveries: ended('deliveries', 50),
    close: ended('closed', 0),
    ...ALONE,
  })
  assert.deepEqual(order, ['sessions', 'deliveries', 'closed'])
})
