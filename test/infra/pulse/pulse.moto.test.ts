// The pulse with the real SDK against moto: its reads, its metrics, and its behaviour on failures.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { pulseClients, workSlot } from '../../../infra/pulse/pulse.ts'
import { slotOf } from '../../../contract/pulse-slots.ts'
import { startMoto } from '../../kit/aws/moto.ts'
import { makeFleet, patient, published, reportLoad } from '../../kit/fleet/moto-fleet.ts'

const moto = await startMoto()
const { skip } = moto
const clients = pulseClients(moto.client, patient)
const slot = slotOf(Date.now())

test('a measured slot publishes every metric with the slot’s timestamp', { skip }, async () => {
  const settings = await makeFleet(clients, {
    ready: { visible: 4, held: 2, delayed: 1 },
    deferred: { visible: 1, held: 1, delayed: 3 },
    instances: 3,
  })
  await reportLoad(clients, settings.TABLE, 'i-1', { ageMs: 0, refused: 30 })
  await reportLoad(clients, settings.TABLE, 'i-2', {
    ageMs: 5_000,
    refused: 12,
    faults: 3,
    unknownVersion: 2,
  })
  await reportLoad(clients, settings.TABLE, 'i-gone', { ageMs: 3_600_000, refused: 999, unknownVersion: 9 })

  const report = await workSlot(clients, settings, slot)
  assert.equal(report.failed, undefined)
  const expected = {
    Demand: 4 + 2 + 42,
    DemandPerInstance: 48 / 3,
    Ready: 4,
    InFlight: 2,
    // Visible messages of the deferred queue are between two moves, not due.
    Deferred: 1 + 1 + 3 + 1,
    RefusedForLoad: 42,
    Capacity: 3,
    RefusedForFault: 3,
    Surplus: 0,
    UnknownVersion: 2,
    PulseFailed: 0,
  }
  const seen = await published(clients.cloudWatch, settings.FLEET, slot)
  const wanted = Object.entries(expected).map(([name, value]) => [name, [{ value, atMs: slot }]])
  assert.deepEqual(seen, Object.fromEntries(wanted))
})

test('visible mail in the deferred queue is not demand', { skip }, async () => {
  const settings = await makeFleet(clients, { deferred: { visible: 40 }, instances: 2 })
  const { values } = await workSlot(clients, settings, slot)
  assert.deepEqual([values.Demand, values.Ready, values.Deferred], [0, 0, 40])
})

test('a slot that is worked twice has the same values', { skip }, async () => {
  const settings = await makeFleet(clients, { ready: { visible: 6 }, instances: 2 })
  await Promise.all([workSlot(clients, settings, slot), workSlot(clients, settings, slot)])
  const samples = await published(clients.cloudWatch, settings.FLEET, slot, 'SampleCount')
  assert.deepEqual(samples['Demand'], [{ value: 2, atMs: slot }])
  for (const stat of ['Average', 'Minimum', 'Maximum'] as const) {
    const seen = await published(clients.cloudWatch, settings.FLEET, slot, stat)
    assert.deepEqual(seen['DemandPerInstance'], [{ value: 3, atMs: slot }], stat)
  }
})

test('an empty group still has a value of DemandPerInstance', { skip }, async () => {
  const settings = await makeFleet(clients, { ready: { visible: 5 }, instances: 0 })
  const { values } = await workSlot(clients, settings, slot)
  assert.equal(values.DemandPerInstance, 5)
  assert.equal(values.Capacity, 0)
})

const missing: [what: string, setting: object, reason: RegExp][] = [
  ['the group', { GROUP: 'nobody' }, /no Auto Scaling group nobody/],
  ['a queue', { READY_URL: `${moto.client.endpoint}/123456789012/nowhere` }, /queue/i],
  ['the table', { TABLE: 'no-table' }, /ResourceNotFound/],
]
for (const [what, setting, reason] of missing) {
  test(`without ${what} the pulse publishes PulseFailed alone`, { skip }, async () => {
    const settings = { ...(await makeFleet(clients, { instances: 1 })), ...setting }
    const report = await workSlot(clients, settings, slot)
    assert.match(report.failed ?? '', reason)
    const seen = await published(clients.cloudWatch, settings.FLEET, slot)
    assert.deepEqual(seen, { PulseFailed: [{ value: 1, atMs: slot }] })
  })
}

test('a slot fails in time when AWS never answers', { skip }, async (t) => {
  const silent = createServer(() => undefined).listen(0, '127.0.0.1')
  t.after(() => silent.close().closeAllConnections())
  await new Promise((listening) => silent.once('listening', listening))
  const endpoint = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const deaf = pulseClients({ ...moto.client, endpoint })
  const settings = await makeFleet(clients, { instances: 1 })

  const limits = { ...deaf.limits, publishMs: patient.publishMs }
  const { values, failed } = await workSlot(
    { ...deaf, cloudWatch: clients.cloudWatch, limits },
    settings,
    slot,
  )
  assert.deepEqual(values, { PulseFailed: 1 })
  assert.match(failed ?? '', /Timeout|Abort/)
  const unheard = { ...clients, cloudWatch: deaf.cloudWatch }
  await assert.rejects(workSlot(unheard, settings, slot), /Timeout|timed out|Abort/)
})

test('an unreadable report is named and skipped, and the others count', { skip }, async () => {
  const settings = await makeFleet(clients, { instances: 1 })
  await reportLoad(clients, settings.TABLE, 'i-good', { ageMs: 0, refused: 7 })
  await reportLoad(clients, settings.TABLE, 'i-broken', { ageMs: 0 })
  const { values, unreadable } = await workSlot(clients, settings, slot)
  assert.equal(values.RefusedForLoad, 7)
  assert.deepEqual(unreadable, ['i-broken'])
})
