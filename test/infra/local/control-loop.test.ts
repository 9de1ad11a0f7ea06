// The control loop and what it asks: rows and events as the instances answer, silence as missing data, hangs retired.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { askAdmin } from '../../../infra/local/admin-client.ts'
import { startControlLoop } from '../../../infra/local/control-loop.ts'
import type { FleetRow, ScaleEvent } from '../../../infra/local/fleet-events.ts'
import type { Instance, InstanceView } from '../../../infra/local/instance.ts'
import type { Scrape } from '../../../infra/local/observation.ts'
import { parsePrometheus } from '../../../infra/local/prometheus.ts'
import { createScraper } from '../../../infra/local/scraper.ts'
import { shortScenario } from '../../../infra/local/storm/scenario.ts'
import { scratchDirectories } from './small-fleet.ts'

const scratch = scratchDirectories()
const servers: Server[] = []
after(() => {
  for (const server of servers) server.close().closeAllConnections()
  scratch.remove()
})

function page(ready: number): string {
  return `mailfleet_queue_ready ${ready}\nmailfleet_queue_in_flight 0\nmailfleet_queue_deferred 7\n`
}

/** Runs the loop over the answers given, one a period, and returns what it said. */
async function loopOver(answers: Scrape[][]): Promise<{ rows: FleetRow[]; events: ScaleEvent[] }> {
  const rows: FleetRow[] = []
  const events: ScaleEvent[] = []
  let desired = 1
  let period = 0
  const startedMs = performance.now()
  await new Promise<void>((resolve) => {
    const loop = startControlLoop({
      // Target 100, no surge within reach.
      policy: { ...shortScenario.policy, surge: { targets: 100, step: 1 } },
      periodMs: 5,
      desired,
      nowMs: () => performance.now() - startedMs,
      scrape: () => Promise.resolve(answers[period++] ?? []),
      population: () => ({ launching: 0, warming: 0, warm: desired, terminating: 0 }),
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
  test('says each period what it saw and decided, and each change once', async () => {
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

  test('nobody answers: the row says so, and nothing changes', async () => {
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

/** An instance that is in service and whose admin socket is `adminSocket`. */
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
  test('one that stays silent while others answer is retired; its silence is not zero', async () => {
    const good = inService('good', await adminSocket(() => page(3)))
    const silent = inService('silent', join(scratch.make(), 'none.sock'))
    const retired: string[] = []
    const scrape = createScraper(
      { living: () => [good, silent], retire: (id) => void retired.push(id) },
      5000,
    )
    for (let period = 1; period < 10; period += 1) {
      const [first, second] = await scrape()
      assert.equal(first?.samples?.length, 3)
      assert.equal(second?.samples, undefined)
    }
    assert.deepEqual(retired, [])
    await scrape()
    assert.deepEqual(retired, ['silent'])
  })

  test('when nobody answers nobody is retired', async () => {
    const silent = inService('silent', join(scratch.make(), 'none.sock'))
    const retired: string[] = []
    const scrape = createScraper({ living: () => [silent], retire: (id) => void retired.push(id) }, 5000)
    for (let period = 0; period < 20; period += 1) await scrape()
    assert.deepEqual(retired, [])
  })

  test('no socket, no answer in time, an endless answer: undefined', async () => {
    assert.equal(await askAdmin(join(scratch.make(), 'none.sock'), '/metrics', 1000), undefined)
    assert.equal(await askAdmin(await adminSocket(() => null), '/metrics', 20), undefined)
    const endless = await adminSocket(() => 'x'.repeat(2 * 1024 * 1024))
    assert.equal(await askAdmin(endless, '/metrics', 5000), undefined)
    const file = join(scratch.make(), 'file')
    writeFileSync(file, '')
    assert.equal(await askAdmin(file, '/metrics', 1000), undefined)
  })
})
