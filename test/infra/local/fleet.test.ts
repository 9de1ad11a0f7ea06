// The fleet with real processes from source: crashes, hung starts, bad configurations, and a killed supervisor.
// fleet.image.test.ts tests the baked root.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FleetEvents } from '../../../infra/local/fleet-events.ts'
import { startFleet, type Fleet, type FleetOptions } from '../../../infra/local/fleet.ts'
import type { InstanceView } from '../../../infra/local/instance.ts'
import type { Launcher } from '../../../infra/local/launcher.ts'
import { stormServerConfig, shortScenario } from '../../../storm/scenario.ts'
import { openGreetedDialog, sendMail } from '../../../mailkit/smtp-dialog.ts'
import { sandboxed, scratchDirectories, smallFleet, source } from '../../kit/fleet/small-fleet.ts'

const scratch = scratchDirectories()
after(scratch.remove)

const options = (changes: Partial<FleetOptions> = {}) => smallFleet(scratch.make(), changes)

async function next<K extends keyof FleetEvents>(
  fleet: Fleet,
  event: K,
  wanted: (value: FleetEvents[K][0]) => boolean,
): Promise<FleetEvents[K][0]> {
  for (;;) {
    const [value] = (await once(fleet.events, event)) as FleetEvents[K]
    if (wanted(value)) return value
  }
}

function inService(fleet: Fleet): InstanceView[] {
  return fleet.instances().filter(({ state }) => state === 'InService')
}

function isAlive(pid: number): boolean {
  // A zombie has ended; only its parent has not collected it.
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

async function allGone(pids: number[]): Promise<number[]> {
  for (let tries = 0; tries < 100 && pids.some(isAlive); tries += 1) await sleep(50)
  return pids.filter(isAlive)
}

for (const [name, launcher] of [
  ['from source', source],
  ['in bubblewrap', sandboxed],
] as const) {
  suite(`a fleet ${name}`, () => {
    test('the fleet starts, replaces a crashed instance, and drains at its end', async (t) => {
      const fleet = await startFleet(options({ launcher }))
      t.after(fleet.stop)
      const [first, second] = inService(fleet)
      assert.ok(first?.pid && second?.pid)
      // The pid is the server's, also in a sandbox.
      assert.match(readFileSync(`/proc/${first.pid}/cmdline`, 'latin1'), /main\.ts/)

      process.kill(first.pid, 'SIGKILL')
      const replaced = await next(
        fleet,
        'instance',
        ({ state, id }) => state === 'InService' && id !== first.id && id !== second.id,
      )
      const crashed = fleet.instances().find(({ id }) => id === first.id)
      assert.equal(crashed?.state, 'Terminated')
      assert.equal(crashed.cause, 'crashed')
      assert.equal(crashed.terminatingAtMs, null)

      const row = await next(fleet, 'row', (seen) => seen.ready !== null)
      assert.deepEqual([row.ready, row.inFlight, row.demand, row.desired], [0, 0, 0, 2])

      const pids = inService(fleet).map(({ pid }) => pid ?? 0)
      assert.ok(pids.includes(replaced.pid ?? 0))
      await fleet.stop()
      assert.deepEqual(pids.filter(isAlive), [])
      for (const { state, exitCode, cause, id } of fleet.instances().filter((view) => view.id !== first.id)) {
        assert.deepEqual(
          { id, state, exitCode, cause },
          { id, state: 'Terminated', exitCode: 0, cause: 'fleet stopped' },
        )
      }
    })
  })
}

test('a stopped instance (SIGSTOP) is killed and replaced, while the fleet accepts mail', async (t) => {
  const fleet = await startFleet(options())
  t.after(fleet.stop)
  const [first] = inService(fleet)
  process.kill(first?.pid ?? 0, 'SIGSTOP')
  const gone = await next(fleet, 'instance', ({ state, id }) => state === 'Terminated' && id === first?.id)
  assert.deepEqual([gone.cause, gone.exitSignal], ['no answer', 'SIGKILL'])
  const talk = await openGreetedDialog(fleet.port)
  assert.match((await sendMail(talk, { to: ['info@storm.example'] })).at(-1) ?? '', /^250 /)
  talk.end()
  if (inService(fleet).length < 2) await next(fleet, 'instance', ({ state }) => state === 'InService')
  assert.equal(inService(fleet).length, 2)
})

suite('a fleet that cannot start', () => {
  test('a bad configuration fails the start with the end of the instance’s log', async () => {
    const serverConfig = { ...stormServerConfig(shortScenario, 9, true), hostname: 5 }
    await assert.rejects(startFleet(options({ serverConfig })), (error: Error) => {
      assert.match(error.message, /i-000\d did not get into service: crashed \(exit code 2\)/)
      assert.match(error.message, /hostname/)
      return true
    })
  })

  test('a missing command fails the start', async () => {
    const launcher: Launcher = {
      ...source,
      command: () => ({ file: 'no-such-program', args: [], statusFd: false }),
    }
    await assert.rejects(startFleet(options({ launcher })), /did not get into service/)
  })

  test('an instance that does not get ready is killed and named', async () => {
    const launcher: Launcher = {
      ...source,
      command: () => ({ file: 'sleep', args: ['60'], statusFd: false }),
    }
    await assert.rejects(
      startFleet(options({ launcher, readyTimeoutMs: 300 })),
      /not ready in time \(SIGKILL\)/,
    )
  })

  test('aborting the start drains and rejects with the reason', async () => {
    const controller = new AbortController()
    const starting = startFleet(options({ signal: controller.signal }))
    controller.abort(new Error('enough'))
    await assert.rejects(starting, /enough/)
  })
})

suite('the death of the supervisor', () => {
  for (const name of ['source', 'bubblewrap']) {
    test(`SIGKILL of the supervisor leaves no instance (${name})`, async () => {
      const directory = scratch.make()
      const program = join(import.meta.dirname, '../../kit/fleet/supervisor.ts')
      const supervisor = spawn(process.execPath, [program, directory, name], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, TMPDIR: directory },
      })
      const [line] = (await once(createInterface(supervisor.stdout), 'line')) as [string]
      const pids = JSON.parse(line) as number[]
      assert.equal(pids.length, name === 'bubblewrap' ? 4 : 2)
      assert.deepEqual(
        pids.filter((pid) => !isAlive(pid)),
        [],
      )
      supervisor.kill('SIGKILL')
      await once(supervisor, 'exit')
      const left = await allGone(pids)
      for (const pid of left) process.kill(pid, 'SIGKILL')
      assert.deepEqual(left, [])
      assert.equal(readFileSync('/proc/self/mountinfo', 'utf8').includes(directory), false)
    })
  }
})
