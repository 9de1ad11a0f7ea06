// Growth of counters over a window, for several instances.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { emptyWindow, observeGrowth } from '../../../infra/scaling/growth-window.ts'

test('the growth of all instances is summed, and dropped after the window', () => {
  let seen = observeGrowth(emptyWindow, { a: 0, b: 3 }, 60_000, 0)
  assert.equal(seen.grown, 3)
  seen = observeGrowth(seen.window, { a: 5, b: 3 }, 60_000, 10_000)
  assert.equal(seen.grown, 8)
  seen = observeGrowth(seen.window, { a: 5, b: 3 }, 60_000, 60_000)
  assert.equal(seen.grown, 5)
  seen = observeGrowth(seen.window, { a: 5, b: 3 }, 60_000, 70_000)
  assert.equal(seen.grown, 0)
  assert.deepEqual(seen.window.growth, [])
})

test('an instance that misses a scrape keeps its last value', () => {
  let seen = observeGrowth(emptyWindow, { a: 10 }, 60_000, 0)
  seen = observeGrowth(seen.window, { a: undefined }, 60_000, 1000)
  seen = observeGrowth(seen.window, { a: 12 }, 60_000, 2000)
  assert.equal(seen.grown, 12)
})

test('a counter that decreased belongs to a restarted instance and counts in full', () => {
  let seen = observeGrowth(emptyWindow, { a: 100 }, 10_000, 0)
  seen = observeGrowth(seen.window, { a: 4 }, 10_000, 20_000)
  assert.equal(seen.grown, 4)
})

test('terminated instances are dropped, their growth is not', () => {
  let seen = observeGrowth(emptyWindow, { a: 7 }, 60_000, 0)
  seen = observeGrowth(seen.window, { b: 1 }, 60_000, 1000)
  assert.equal(seen.grown, 8)
  assert.deepEqual(Object.keys(seen.window.counters), ['b'])
})

test('a counter that is no number adds nothing, now or later', () => {
  let seen = observeGrowth(emptyWindow, { a: 3 }, 60_000, 0)
  seen = observeGrowth(seen.window, { a: NaN }, 60_000, 1000)
  assert.equal(seen.grown, 3)
  seen = observeGrowth(seen.window, { a: 5 }, 60_000, 2000)
  assert.equal(seen.grown, 5)
})
