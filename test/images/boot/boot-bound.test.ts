// The boot test waits for a guest that makes progress. It gives up after silence, or after the total.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { watchBounds } from '../../../images/boot/boot-bound.ts'

const BOUNDS = { timeoutMs: 60_000, quietMs: 10_000 }

/** Lets `seconds` pass in steps of one check. */
async function pass(t: TestContext, seconds: number) {
  for (let n = 0; n < seconds; n++) {
    t.mock.timers.tick(1_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function watch(t: TestContext, signs: () => Promise<string>) {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const over: string[] = []
  const { stop } = watchBounds(signs, BOUNDS, (error) => over.push(error.message))
  t.after(stop)
  return over
}

test('a guest without a sign of life is given up long before the total', async (t) => {
  const over = watch(t, () => Promise.resolve('the same'))
  await pass(t, 9)
  assert.deepEqual(over, [])
  await pass(t, 5)
  assert.equal(over.length, 1)
  assert.match(over[0]!, /printed, read, wrote and sent nothing for 10 s\..*--timeout SECONDS/)
})

test('a machine that no longer answers shows no sign', async (t) => {
  const over = watch(t, () => new Promise(() => {}))
  await pass(t, 10)
  assert.match(over[0]!, /nothing for 10 s/)
})

test('a guest that makes progress goes on, up to the total', async (t) => {
  let n = 0
  const over = watch(t, () => Promise.resolve(String(Math.floor(n++ / 8))))
  await pass(t, 59)
  assert.deepEqual(over, [])
  await pass(t, 1)
  assert.match(over[0]!, /^not done after 60 s, while the guest was still at work\. .*--timeout SECONDS/)
})
