// Refusals as demand: a message counts once a window, a refused connection once a client, both up to a limit.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRefusedDemand } from '../../../server/smtp/refused-demand.ts'

const MESSAGE = { clientAddress: '192.0.2.1', reversePath: 'a@b.example', sizeBytes: 1_000 }

function counting({ transactions = 100 } = {}) {
  const clock = { nowMs: 0 }
  const demand = createRefusedDemand({
    windowMs: 60_000,
    transactions: () => transactions,
    nowMs: () => clock.nowMs,
  })
  return { clock, ...demand }
}

test('a message counts once a window, for any number of attempts and any limit', () => {
  const { counts, clock } = counting()
  assert.equal(counts('backlog', MESSAGE), true)
  assert.equal(counts('backlog', MESSAGE), false)
  clock.nowMs = 59_999
  assert.equal(counts('memory', MESSAGE), false)
  clock.nowMs = 60_000
  assert.equal(counts('backlog', MESSAGE), true)
})

test('another client, sender or size is another message; another host of an IPv6 network is not', () => {
  const { counts } = counting()
  for (const more of [
    {},
    { clientAddress: '192.0.2.2' },
    { reversePath: 'c@b.example' },
    { sizeBytes: 1_001 },
    { clientAddress: '2001:db8::1' },
  ])
    assert.equal(counts('backlog', { ...MESSAGE, ...more }), true, JSON.stringify(more))
  assert.equal(counts('backlog', { ...MESSAGE, clientAddress: '2001:db8::2' }), false)
})

test('refusals that another instance would not prevent are no demand', () => {
  const { counts } = counting()
  for (const reason of [
    'queue-full',
    'queue',
    'routes-unavailable',
    'error',
    'client-connections',
    'relay',
    'draining',
  ] as const)
    assert.equal(counts(reason, MESSAGE), false, reason)
})

test('a refused connection counts once a client, and only while as many sessions send a message', () => {
  const from = (host: number) => ({ clientAddress: `192.0.2.${host}`, reversePath: '', sizeBytes: 0 })
  const { counts } = counting({ transactions: 2 })
  assert.deepEqual(
    [1, 1, 2, 3, 4].map((host) => counts('sessions', from(host))),
    [true, false, true, false, false],
  )
  assert.equal(counting({ transactions: 0 }).counts('sessions', from(1)), false)
})

test('at most 10,000 messages count in a window', () => {
  const { counts, clock } = counting()
  const tried = (serial: number) => counts('backlog', { ...MESSAGE, sizeBytes: serial })
  let counted = 0
  for (let serial = 0; serial < 20_000; serial++) if (tried(serial)) counted++
  assert.equal(counted, 10_000)
  clock.nowMs = 60_000
  assert.equal(tried(0), true)
})
