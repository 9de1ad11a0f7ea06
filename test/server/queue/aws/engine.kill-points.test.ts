// A holder that dies between any two steps of ending its lease, or between a step and its answer. Nothing is lost or
// queued twice, and no acknowledged destination gets the message again.
import assert from 'node:assert/strict'
import { after, before, describe, it, type TestContext } from 'node:test'
import type { Lease } from '../../../../server/queue/entry.ts'
import type { Settlement, Queue } from '../../../../server/queue/queue.ts'
import type { AwsFault } from '../../../kit/aws/aws-proxy.ts'
import { startAwsQueue, type AwsQueue } from '../../../kit/aws/aws-queue.ts'
import { waitUntilHolds, LONG_MS } from '../../../kit/queue/harness.ts'
import { destination, entryFor } from '../../../kit/queue/embedded-harness.ts'
import { faultyQueue, soundQueue } from '../../../kit/queue/aws-harness.ts'

/** Time enough to end a lease on a busy machine, its tries included; and what the test waits for. */
const LEASE_MS = 10_000

const delivered = destination('a@example.net', 'delivered')
const dsn = {
  entry: entryFor({ reversePath: '', dueMs: 0, destinations: [destination('s@example.com')] }),
  body: Buffer.from('DSN'),
}

type Kind = {
  outcome: Settlement
  destinations: number
  bytes: number
  record: boolean
  dsn: boolean
  steps: number
}

/** `steps`: calls of AWS that ending the lease takes, when nothing goes wrong. */
const KINDS: Record<string, Kind> = {
  'a small entry is removed': {
    outcome: { kind: 'remove' },
    destinations: 1,
    bytes: 9,
    record: false,
    dsn: false,
    steps: 1,
  },
  'a small entry is removed, with a DSN': {
    outcome: { kind: 'remove' },
    destinations: 1,
    bytes: 9,
    record: false,
    dsn: true,
    steps: 5,
  },
  'an entry in the bucket is removed': {
    outcome: { kind: 'remove' },
    destinations: 2,
    bytes: 200_000,
    record: true,
    dsn: false,
    steps: 3,
  },
  'a small entry is put off': {
    outcome: { kind: 'reschedule', dueMs: 0 },
    destinations: 1,
    bytes: 9,
    record: false,
    dsn: false,
    steps: 5,
  },
  'an entry of two destinations is put off, with a DSN': {
    outcome: { kind: 'reschedule', dueMs: 0 },
    destinations: 2,
    bytes: 9,
    record: true,
    dsn: true,
    steps: 5,
  },
}

let emulators: AwsQueue

describe('a holder that dies', { concurrency: 100 }, () => {
  before(async () => {
    emulators = await startAwsQueue()
  })
  after(() => emulators.stop())
  for (const [name, kind] of Object.entries(KINDS)) {
    for (let step = 1; step <= kind.steps; step++) {
      for (const fault of ['cut', 'lose'] as const)
        it(`${name}: step ${step} of ${kind.steps} is ${fault === 'cut' ? 'never made' : 'its last'}`, (t) =>
          vanish(t, kind, step, fault))
    }
    it(`${name}: in ${kind.steps} steps`, (t) => vanish(t, kind, Infinity, 'cut'))
  }
})

async function vanish(t: TestContext, kind: Kind, step: number, fault: AwsFault): Promise<void> {
  const { queue, proxy, stores } = await faultyQueue(t, emulators)
  const destinations = [destination('a@example.net'), destination('b@example.net')].slice(
    0,
    kind.destinations,
  )
  await queue.enqueue(entryFor({ dueMs: 0, destinations }), Buffer.alloc(kind.bytes, 'x'))
  const held = await leaseSoon(queue, LEASE_MS)
  if (kind.record) assert.equal(await queue.record(held, [delivered, ...destinations.slice(1)]), true)
  let calls = 0
  proxy.fault = ({ name }) => {
    // The mover's polls are none of the steps.
    if (name === 'ReceiveMessage') return step === Infinity ? null : 'cut'
    calls++
    return calls < step ? null : calls === step ? fault : 'cut'
  }
  const settled = await queue.settle(held, kind.outcome, kind.dsn ? dsn : undefined).catch(() => 'failed')
  if (step === Infinity) assert.equal(calls, kind.steps)
  assert.ok(settled === true || settled === 'failed', 'the lease was not lost')

  const heir = await soundQueue(t, emulators, stores)
  const seen = await workOff(heir, kind)
  const attempts = seen.entries.map((entry) => entry.attempts)
  // Never twice; and only if the holder could not know that its outcome was stored may it be as if it never was.
  const putOff = kind.outcome.kind === 'reschedule'
  const done = putOff ? [1] : []
  assert.ok(
    isSame(attempts, done) || (settled === 'failed' && isSame(attempts, [0])),
    JSON.stringify({ attempts, settled }),
  )
  if (kind.record)
    for (const entry of seen.entries)
      assert.equal(entry.destinations[0]?.state, 'delivered', 'and stays delivered')
  const heirsOwn = isSame(attempts, [0]) ? 0 : 1
  assert.equal(seen.dsns, kind.dsn ? heirsOwn : 0, 'one DSN for each outcome')
  assert.equal(emulators.deadLetters(stores), 0)
}

const isSame = (a: number[], b: number[]) => JSON.stringify(a) === JSON.stringify(b)

async function leaseSoon(queue: Queue, leaseMs: number): Promise<Lease> {
  let held: Lease | undefined
  await waitUntilHolds(async () => {
    ;[held] = await queue.lease(1, leaseMs)
    assert.ok(held)
  })
  assert.ok(held)
  return held
}

/** Takes and removes whatever comes until nothing is left, and the body of every entry can be read. */
async function workOff(queue: Queue, { bytes }: Kind) {
  const seen: { entries: Lease['entry'][]; dsns: number } = { entries: [], dsns: 0 }
  await waitUntilHolds(async () => {
    for (const held of await queue.lease(10, LONG_MS)) {
      if (held.entry.reversePath === '') seen.dsns++
      else {
        seen.entries.push(held.entry)
        assert.equal((await queue.body(held)).length, bytes)
      }
      assert.equal(await queue.settle(held, { kind: 'remove' }), true)
    }
    assert.equal((await queue.stats()).entries, 0)
  })
  return seen
}
