// The books: what counts as what.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { idleShare, parseCpuTicks, parseProcessTicks, readCpu, usedShare } from '../../storm/cpu.ts'
import { createLedger } from '../../storm/ledger.ts'
import { stormIdOf, stormMessage } from '../../storm/message.ts'
import { percentile } from '../../platform/percentile.ts'
import { seededRandom } from '../../platform/seeded-random.ts'
import { phaseAt, phasesMs, stormScenario } from '../../storm/scenario.ts'
import { retryMs } from '../../storm/senders.ts'

test('every message by its id', () => {
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

test('a message whose 250 was not seen is not accepted, though it arrived', () => {
  const ledger = createLedger()
  ledger.offered('a')
  ledger.arrived('a', 10)
  const { accepted, forwarded, lost, givenUp } = ledger.summary(0)
  assert.deepEqual({ accepted, forwarded, lost, givenUp }, { accepted: 0, forwarded: 0, lost: 0, givenUp: 1 })
})

test('its second attempt makes the duplicate', () => {
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

test('a period holds what happened in it, and is empty afterwards', () => {
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

test('percentiles are values that were measured', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
  assert.deepEqual(
    [0.5, 0.99, 1].map((share) => percentile(hundred, share)),
    [50, 99, 100],
  )
  assert.equal(percentile([7], 0.5), 7)
  assert.equal(percentile([], 0.5), null)
})

test('idle share of the processors, waiting for the disk included', () => {
  const before = parseCpuTicks('cpu  100 0 50 800 50 0 0 0 20 0\ncpu0 1 2 3 4\n')
  assert.deepEqual(before, { idle: 850, total: 1000 })
  const after = parseCpuTicks('cpu  130 0 70 830 70 0 0 0 25 0\n')
  assert.equal(idleShare(before, after), 0.5)
  assert.equal(idleShare(before, before), null)
})

test('what the processes themselves took, those that came meanwhile as a whole', () => {
  assert.equal(parseProcessTicks('7 (a) b) (c) S 1 7 7 0 -1 4194560 100 0 0 0 120 30 9 9 20 0 11 0'), 150)
  const from = {
    machine: { idle: 0, total: 0 },
    processes: new Map([
      [1, 100],
      [2, 5],
    ]),
  }
  const to = {
    machine: { idle: 0, total: 200 },
    processes: new Map([
      [1, 130],
      [3, 20],
    ]),
  }
  assert.equal(usedShare(from, to), 0.25)
  assert.equal(usedShare(from, from), null)
  assert.ok((readCpu([process.pid, 2 ** 30]).processes.get(process.pid) ?? 0) > 0)
})

test('phases follow each other, the last one goes on', () => {
  const phases = [
    { name: 'one', seconds: 2, perSecond: 1 },
    { name: 'two', seconds: 3, perSecond: 2 },
  ]
  assert.equal(phasesMs({ phases }), 5000)
  assert.deepEqual(
    [0, 1999, 2000, 99_999].map((atMs) => phaseAt(phases, atMs)?.name),
    ['one', 'one', 'two', 'two'],
  )
})

test('the burst is several times what one instance forwards, and within what the largest fleet does', () => {
  const { concurrency, remoteLatencyMs, phases, policy } = stormScenario
  const forwardsPerSecond = concurrency / ((remoteLatencyMs[0] + remoteLatencyMs[1]) / 2000)
  const burst = Math.max(...phases.map(({ perSecond }) => perSecond))
  assert.ok(burst > 3 * forwardsPerSecond)
  assert.ok(burst < policy.maxInstances * forwardsPerSecond)
})

test('the same seed gives the same messages, each with its own id', () => {
  const make = () => {
    const random = seededRandom(7)
    return [1, 2, 3].map((serial) => stormMessage(serial, random, { messageBytes: [2048, 8192] }))
  }
  const [first, second] = [make(), make()]
  assert.deepEqual(
    first.map(({ id, body }) => [id, body.length]),
    second.map(({ id, body }) => [id, body.length]),
  )
  assert.equal(new Set(first.map(({ id }) => id)).size, 3)
  for (const { id, body } of first) {
    assert.equal(stormIdOf(body), id)
    assert.ok(body.length >= 2048 && body.length < 8192 + 80)
    for (const line of body.toString('latin1').split('\r\n'))
      assert.ok(line.length <= 78 && !line.includes('\n'))
  }
  assert.equal(stormIdOf(Buffer.from('Subject: other\r\n\r\nX-Storm-Id: in the body\r\n')), null)
})

test('senders wait longer after each failure, up to a bound, and not all for the same time', () => {
  const retry = { firstMs: 1000, maxMs: 8000, jitter: 0.5 }
  const middle = [1, 2, 3, 4, 5, 50].map((failures) => retryMs(failures, retry, () => 0.5))
  assert.deepEqual(middle, [1000, 2000, 4000, 8000, 8000, 8000])
  assert.deepEqual(
    [0, 1].map((chance) => retryMs(1, retry, () => chance)),
    [500, 1500],
  )
})
