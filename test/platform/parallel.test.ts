// Parallel work: the bound holds, and the first failure ends the rest.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { inParallel } from '../../platform/parallel.ts'

test('every item is worked on, never more at once than allowed', async () => {
  let running = 0
  let most = 0
  const done: number[] = []
  await inParallel(Array(20).keys(), { concurrency: 3 }, async (item) => {
    most = Math.max(most, ++running)
    await sleep(1)
    running--
    done.push(item)
  })
  assert.equal(most, 3)
  assert.deepEqual(
    done.sort((a, b) => a - b),
    [...Array(20).keys()],
  )
})

test('a failure starts nothing more, aborts what runs, and waits for it', async () => {
  const started: number[] = []
  const ended: number[] = []
  const work = async (item: number, signal: AbortSignal) => {
    started.push(item)
    if (item === 1) throw new Error('item 1')
    await sleep(60_000, undefined, { signal }).catch(() => {})
    await sleep(5)
    ended.push(item)
  }
  await assert.rejects(inParallel(Array(9).keys(), { concurrency: 2 }, work), /item 1/)
  assert.deepEqual(started, [0, 1])
  assert.deepEqual(ended, [0])
})

test('the caller’s signal ends the work with its reason', async () => {
  const stop = new AbortController()
  const work = async (_: number, signal: AbortSignal) => {
    stop.abort(new Error('stopped by the caller'))
    await sleep(60_000, undefined, { signal })
  }
  const running = inParallel(Array(9).keys(), { concurrency: 2, signal: stop.signal }, work)
  await assert.rejects(running, /stopped by the caller/)
})
