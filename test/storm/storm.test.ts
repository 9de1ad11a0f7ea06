// A small storm in a few seconds, with a real fleet from source, real senders and a real sink.
// test/infra/local/fleet.image.test.ts runs a larger one on the baked root.
import assert from 'node:assert/strict'
import { after, suite, test } from 'node:test'
import { runStorm } from '../../storm/storm.ts'
import { shortScenario, type Scenario } from '../../storm/scenario.ts'
import { scratchDirectories, source } from '../kit/fleet/small-fleet.ts'

/** One instance forwards 2 ÷ 75 ms = 27/s. The burst is 70/s. The target is 600 ms ÷ 37.5 ms = 16 messages. */
const scenario: Scenario = {
  ...shortScenario,
  phases: [
    { name: 'normal', seconds: 1, perSecond: 10 },
    { name: 'burst', seconds: 3, perSecond: 70 },
    { name: 'calm', seconds: 1, perSecond: 5 },
  ],
  settleSeconds: 20,
  remoteLatencyMs: [50, 100],
  concurrency: 2,
  readyEntries: 40,
  senders: {
    ...shortScenario.senders,
    count: 8,
    idleMs: 500,
    retry: { firstMs: 200, maxMs: 1000, jitter: 0.5 },
  },
  periodMs: 250,
  policy: {
    ...shortScenario.policy,
    maxInstances: 3,
    acceptableDelayMs: 600,
    deliveryMs: 75,
    concurrency: 2,
    refusedWindowMs: 1000,
    warmupMs: 0,
    surge: { targets: 3, step: 2 },
    scaleIn: { fraction: 0.5, periods: 3, step: 1, cooldownMs: 500 },
  },
}

const scratch = scratchDirectories()
after(scratch.remove)

suite('a small storm', () => {
  test('the fleet scales out and in, and every accepted message arrives once', async () => {
    const lines: string[] = []
    const report = await runStorm({
      directory: scratch.make(),
      launcher: source,
      scenario,
      volatile: true,
      progress: (line) => lines.push(line),
    })
    const { mail, fleet, timeline, phases, scaleEvents } = report
    assert.equal(mail.lost, 0)
    assert.deepEqual(mail.resetReasons, {})
    assert.deepEqual([mail.rejected, mail.givenUp, mail.foreign, mail.duplicates], [0, 0, 0, 0])
    assert.equal(mail.forwarded, mail.accepted)
    assert.ok(mail.accepted > 150, `${mail.accepted} accepted`)
    assert.ok(fleet.maxInstances >= 2, `${fleet.maxInstances} instances`)
    assert.deepEqual([fleet.finalInstances, fleet.crashed], [1, 0])
    assert.deepEqual(
      phases.map(({ name }) => name),
      ['normal', 'burst', 'calm'],
    )
    assert.ok(scaleEvents.some(({ from, to }) => to > from) && scaleEvents.some(({ from, to }) => to < from))
    assert.ok(timeline.every(({ tMs }, index) => tMs > (timeline[index - 1]?.tMs ?? -1)))
    assert.ok(report.cpuIdleAtPeak >= 0 && report.cpuIdleAtPeak <= 1)
    assert.ok(lines.includes('burst'))
  })

  test('an aborted storm drains the fleet and rejects with the reason of the signal', async () => {
    const controller = new AbortController()
    const storm = runStorm({
      directory: scratch.make(),
      launcher: source,
      scenario,
      volatile: true,
      signal: controller.signal,
      onRow: () => controller.abort(new Error('enough')),
    })
    await assert.rejects(storm, /^Error: enough$/)
  })
})
