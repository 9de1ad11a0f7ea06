// How the ledger of a storm counts messages.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLedger } from '../../storm/ledger.ts'

test('the ledger counts each message by its id', () => {
  const ledger = createLedger()
  for (const id of ['a', 'b', 'c', 'd', 'e']) ledger.offered(id)
  ledger.accepted('a', 1000)
  ledger.arrived('a', 1300)
  ledger.accepted('b', 1000)
  ledger.arrived('b', 1500)
  ledger.arrived('b', 1600)
  ledger.accepted('c', 1000)
  ledger.accepted('d', 1000)
  ledger.refused(451)
  ledger.refused(421)
  ledger.refused(451)
  ledger.reset('ECONNRESET')
  ledger.arrived('', 1700)
  assert.equal(ledger.underWay(), 2)
  assert.deepEqual(ledger.summary(1), {
    accepted: 4,
    forwarded: 2,
    duplicates: 1,
    lost: 1,
    queued: 1,
    refused: 3,
    refusedByCode: { 421: 1, 451: 2 },
    rejected: 0,
    resets: 1,
    resetReasons: { ECONNRESET: 1 },
    givenUp: 1,
    foreign: 1,
    delayMs: { p50: 300, p99: 500, max: 500 },
  })
})

test('a message that arrived is not accepted when its sender got no 250', () => {
  const ledger = createLedger()
  ledger.offered('a')
  ledger.arrived('a', 10)
  const { accepted, forwarded, lost, givenUp } = ledger.summary(0)
  assert.deepEqual({ accepted, forwarded, lost, givenUp }, { accepted: 0, forwarded: 0, lost: 0, givenUp: 1 })
})

test('a second attempt with a message that has arrived makes a duplicate', () => {
  const ledger = createLedger()
  ledger.offered('a')
  ledger.arrived('a', 10)
  ledger.accepted('a', 20)
  ledger.arrived('a', 30)
  const { accepted, forwarded, duplicates, lost } = ledger.summary(0)
  assert.deepEqual(
    { accepted, forwarded, duplicates, lost },
    { accepted: 1, forwarded: 1, duplicates: 1, lost: 0 },
  )
})

test('a period has the counts since the last period, and the next one starts at zero', () => {
  const ledger = createLedger()
  ledger.offered('a')
  ledger.attempted()
  ledger.attempted()
  ledger.accepted('a', 100)
  ledger.arrived('a', 350)
  assert.deepEqual(ledger.takePeriod(), {
    offered: 1,
    attempts: 2,
    accepted: 1,
    forwarded: 1,
    delayP50Ms: 250,
    delayP99Ms: 250,
  })
  assert.deepEqual(ledger.takePeriod(), {
    offered: 0,
    attempts: 0,
    accepted: 0,
    forwarded: 0,
    delayP50Ms: null,
    delayP99Ms: null,
  })
})
