// The time that a drain has, by its reason.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drain, type StopReason } from '../../../server/fleet/drain.ts'

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
  })
  return { bound, code }
}

test('a spot instance is gone two minutes after its notice, whatever the configuration allows', async () => {
  assert.deepEqual(await drained('spot-interruption', 300_000), { bound: 100_000, code: 0 })
  assert.deepEqual(await drained('spot-interruption', 5_000), { bound: 5_000, code: 0 })
})

test('all other reasons have the time that is configured; only an error ends in 1', async () => {
  for (const reason of ['SIGTERM', 'SIGINT', 'terminating'] as const)
    assert.deepEqual(await drained(reason, 300_000), { bound: 300_000, code: 0 })
  assert.deepEqual(await drained('error', 300_000), { bound: 300_000, code: 1 })
})

test('closing that does not end is cut off at the bound', async () => {
  const lines: object[] = []
  const code = await drain('terminating', {
    timeoutMs: 200,
    log: (event, fields) => lines.push({ event, ...fields }),
    sessions: () => Promise.resolve(),
    deliveries: () => Promise.resolve(),
    close: () => new Promise(() => {}),
  })
  assert.equal(code, 0)
  assert.match(JSON.stringify(lines.at(-1)), /"drained","closed":false/)
})
