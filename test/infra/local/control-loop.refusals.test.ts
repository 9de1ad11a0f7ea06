// What does not scale out a fleet of real instances: silent connections and a full queue.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, test } from 'node:test'
import type { FleetEvents } from '../../../infra/local/fleet-events.ts'
import { startFleet, type Fleet } from '../../../infra/local/fleet.ts'
import { stormServerConfig, shortScenario } from '../../../storm/scenario.ts'
import { openGreetedDialog, sendMail } from '../../../mailkit/smtp-dialog.ts'
import { scratchDirectories, smallFleet } from '../../kit/fleet/small-fleet.ts'

const scratch = scratchDirectories()
after(scratch.remove)

/** 10 messages per instance, so that a few wrongly counted refusals show. */
const policy = { ...shortScenario.policy, minInstances: 2, acceptableDelayMs: 250, refusedWindowMs: 60_000 }
const base = stormServerConfig(shortScenario, 9, true)
const TO = ['info@storm.example']

async function fleetWith(config: object): Promise<Fleet> {
  return startFleet(smallFleet(scratch.make(), { policy, serverConfig: { ...base, ...config } }))
}

/** The desired capacity after some more periods with data. */
async function desiredAfter(fleet: Fleet, periods: number) {
  let row = fleet.timeline.at(-1)
  for (let seen = 0; seen < periods;) {
    ;[row] = (await once(fleet.events, 'row')) as FleetEvents['row']
    if (row.demand !== null) seen += 1
  }
  return row!
}

test('450 idle connections without a message do not scale', { timeout: 120_000 }, async (t) => {
  const limits = { connections: 150, connectionsPerClient: 1_000, fullIdleMs: 3_600_000 }
  const fleet = await fleetWith({ limits })
  t.after(fleet.stop)
  const idle: Socket[] = []
  for (let opened = 0; opened < 450; opened += 1) {
    const socket = connect({ port: fleet.port, host: '127.0.0.1' }).on('error', () => {})
    await once(socket, 'data')
    idle.push(socket)
  }
  const { desired, refusedForLoad, refusedForFault } = await desiredAfter(fleet, 5)
  for (const socket of idle) socket.destroy()
  assert.deepEqual(
    { desired, refusedForLoad, refusedForFault },
    { desired: 2, refusedForLoad: 0, refusedForFault: 0 },
  )
})

test('a full queue does not scale out and counts as a fault', { timeout: 120_000 }, async (t) => {
  const queue = { volatile: true, maxEntries: 4 }
  const fleet = await fleetWith({ queue, retry: { firstMs: 3_600_000, maxMs: 3_600_000 } })
  t.after(fleet.stop)
  const talk = await openGreetedDialog(fleet.port)
  const last: string[] = []
  for (let sent = 0; sent < 60; sent += 1)
    last.push((await sendMail(talk, { from: `s${sent}@sender.example`, to: TO })).at(-1) ?? 'closed')
  talk.end()
  const { desired, refusedForLoad, refusedForFault } = await desiredAfter(fleet, 5)
  assert.equal(last.filter((reply) => reply.startsWith('250')).length, 4)
  assert.deepEqual(
    { desired, refusedForLoad, refusedForFault },
    { desired: 2, refusedForLoad: 0, refusedForFault: 56 },
  )
})
