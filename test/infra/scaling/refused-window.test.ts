// The window over refusals, as seen by a scraper of several instances.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { emptyWindow, observeRefused } from '../../../infra/scaling/refused-window.ts'

test('refusals of all instances are summed, and forgotten after the window', () => {
  let seen = observeRefused(emptyWindow, { a: 0, b: 3 }, 60_000, 0)
  assert.equal(seen.refused, 3)
  seen = observeRefused(seen.window, { a: 5, b: 3 }, 60_000, 10_000)
  assert.equal(seen.refused, 8)
  seen = observeRefused(seen.window, { a: 5, b: 3 }, 60_000, 60_000)
  assert.equal(seen.refused, 5)
  seen = observeRefused(seen.window, { a: 5, b: 3 }, 60_000, 70_000)
  assert.equal(seen.refused, 0)
  assert.deepEqual(seen.window.growth, [])
})

test('an instance that misses a scrape keeps its last value', () => {
  let seen = observeRefused(emptyWindow, { a: 10 }, 60_000, 0)
  seen = observeRefused(seen.window, { a: undefined }, 60_000, 1000)
  seen = observeRefused(seen.window, { a: 12 }, 60_000, 2000)
  assert.equal(seen.refused, 12)
})

test('a counter that went back belongs to a restarted instance: all of it is new', () => {
  let seen = observeRefused(emptyWindow, { a: 100 }, 10_000, 0)
  seen = observeRefused(seen.window, { a: 4 }, 10_000, 20_000)
  assert.equal(seen.refused, 4)
})

test('instances that are gone are forgotten, their refusals are not', () => {
  let seen = observeRefused(emptyWindow, { a: 7 }, 60_000, 0)
  seen = observeRefused(seen.window, { b: 1 }, 60_000, 1000)
  assert.equal(seen.refused, 8)
  assert.deepEqual(Object.keys(seen.window.counters), ['b'])
})
