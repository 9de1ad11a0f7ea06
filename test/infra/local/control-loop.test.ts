// The control loop and its scraper: rows and events from answers, missing data from silence, and hung instances killed.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { getAdmin } from '../../../infra/local/admin-client.ts'
import { startControlLoop } from '../../../infra/local/control-loop.ts'
import type { FleetRow, ScaleEvent } from '../../../infra/local/fleet-events.ts'
import type { Instance, InstanceView } from '../../../infra/local/instance.ts'
import type { Scrape } from '../../../infra/local/observation.ts'
import { parsePrometheus } from '../../../infra/local/prometheus.ts'
import { createScraper } from '../../../infra/local/scraper.ts'
import { shortScenario } from '../../../storm/scenario.ts'
import { scratchDirectories } from '../../kit/fleet/small-fleet.ts'

const scratch = scratchDirectories()
const servers: Server[] = []
after(() => {
  for (const server of servers) server.close().closeAllConnections()
  scratch.remove()
})

function page(ready: number): string {
  return `mailfleet_queue_ready ${ready}\nmailfleet_queue_in_flight 0\nmailfleet_queue_deferred 7\n`
}

/** Runs the loop over the answers, one per period. @returns its rows and events */
async function loopOver(answers: Scrape[][]): Promise<{ rows: FleetRow[]; events: ScaleEvent[] }> {
  const rows: FleetRow[] = []
  const events: ScaleEvent[] = []
  let desired = 1
  let period = 0
  const startedMs = performance.now()
  await new Promise<void>((resolve) => {
    const loop = startControlLoop({
      // Target 100, and a surge far above it.
      policy: { ...shortScenario.policy, surge: { targets: 100, step: 1 } },
      periodMs: 5,
      desired,
      nowMs: () => performance.now() - startedMs,
      scrape: () => Promise.resolve(answers[period++] ?? []),
      instanceCounts: () => ({ launching: 0, warming: 0, warm: desired, terminating: 0 }),
      onRow: (row) => {
        rows.push(row)
        if (rows.length === answers.length) void loop.stop().then(resolve)
      },
      onScale: (event) => {
        desired = event.to
        events.push(event)
      },
    })
  })
  return { rows, events }
}

suite('the control loop', () => {
  test('each period emits a row, and each change one event', async () => {
    const scrape = (ready: number): Scrape[] => [{ id: 'a', samples: parsePrometheus(page(ready)) }]
    const { rows, events } = await loopOver([scrape(0), scrape(250), scrape(250)])
    assert.deepEqual(
      rows.map(({ ready, deferred, demand, desired }) => ({ ready, deferred, demand, desired })),
      [
        { ready: 0, deferred: 7, demand: 0, desired: 1 },
        { ready: 250, deferred: 7, demand: 250, desired: 3 },
        { ready: 250, deferred: 7, demand: 250, desired: 3 },
      ],
    )
    assert.deepEqual(
      events.map(({ from, to, rule }) => ({ from, to, rule })),
      [{ from: 1, to: 3, rule: 'target' }],
    )
  })

  test('without answers the row has no queue figures, and the size stays', async () => {
    const busy: Scrape[] = [{ id: 'a', samples: parsePrometheus(page(250)) }]
    const silent: Scrape[] = [{ id: 'a', samples: undefined }]
    const { rows, events } = await loopOver([busy, silent, silent, silent, silent, silent, silent])
    assert.deepEqual(
      rows.slice(1).map(({ ready, demand, desired }) => [ready, demand, desired]),
      Array.from({ length: 6 }, () => [null, null, 3]),
    )
    assert.equal(events.length, 1)
  })
})

/** An instance in service with the admin socket `adminSocket`. */
function inService(id: string, adminSocket: string): Instance {
  const view = { id, state: 'InService' } as InstanceView
  const never = new Promise<InstanceView>(() => {})
  return { view: () => view, adminSocket, logFile: '', drain: () => {}, kill: () => {}, terminated: never }
}

async function adminSocket(answer: (path: string) => string | null): Promise<string> {
  const directory = scratch.make()
  const socket = join(directory, 'admin.sock')
  const server = createServer((request, response) => {
    const body = answer(request.url ?? '')
    if (body !== null) response.end(body)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  return socket
}

suite('asking the instances', () => {
  /** One scrape per second on a clock of its own, for `seconds`. @returns which instance was killed and when */
  async function killed(instances: Instance[], seconds: number): Promise<[id: string, second: number][]> {
    const kills: [string, number][] = []
    let second = 0
    const living = () => instances.filter((each) => !kills.some(([id]) => id === each.view().id))
    const kill = (id: string) => void kills.push([id, second])
    const scrape = createScraper({ living, kill }, 5_000, () => second * 1_000)
    for (; second <= seconds; second += 1) await scrape()
    return kills
  }

  test('an instance that stays silent while others answer is killed after 5 s, and is missing data', async () => {
    const good = inService('good', await adminSocket(() => page(3)))
    const silent = inService('silent', join(scratch.make(), 'none.sock'))
    const scrape = createScraper({ living: () => [good, silent], kill: () => {} }, 5_000)
    const [first, second] = await scrape()
    assert.equal(first?.samples?.length, 3)
    assert.equal(second?.samples, undefined)
    assert.deepEqual(await killed([good, silent], 30), [['silent', 5]])
  })

  test('an instance that answers now and then is not killed', async () => {
    const good = inService('good', await adminSocket(() => page(3)))
    let asked = 0
    const slow = inService(
      'slow',
      await adminSocket(() => ((asked += 1) % 4 === 0 ? page(3) : 'x'.repeat(2 ** 21))),
    )
    assert.deepEqual(await killed([good, slow], 30), [])
  })

  test('a supervisor that was itself stopped does not kill for the first missed answers', async () => {
    const good = inService('good', await adminSocket(() => page(3)))
    const silent = inService('silent', join(scratch.make(), 'none.sock'))
    const kills: string[] = []
    let nowMs = 0
    const kill = (id: string) => void kills.push(id)
    const scrape = createScraper({ living: () => [good, silent], kill }, 5_000, () => nowMs)
    await scrape()
    nowMs += 60_000
    await scrape()
    assert.deepEqual(kills, [])
    await scrape()
    assert.deepEqual(kills, ['silent'])
  })

  test('when no instance answers, they get 20 s, then one is killed at a time', async () => {
    const silent = ['one', 'two'].map((id) => inService(id, join(scratch.make(), 'none.sock')))
    assert.deepEqual(await killed(silent, 19), [])
    assert.deepEqual(await killed(silent, 21), [
      ['one', 20],
      ['two', 21],
    ])
  })
})

test('a missing socket, a timeout and an endless response give undefined', async () => {
  assert.equal(await getAdmin(join(scratch.make(), 'none.sock'), '/metrics', 1000), undefined)
  assert.equal(await getAdmin(await adminSocket(() => null), '/metrics', 20), undefined)
  const endless = await adminSocket(() => 'x'.repeat(2 * 1024 * 1024))
  assert.equal(await getAdmin(endless, '/metrics', 5000), undefined)
  const file = join(scratch.make(), 'file')
  writeFileSync(file, '')
  assert.equal(await getAdmin(file, '/metrics', 1000), undefined)
})
