// A fleet of the baked root in sandboxes, and a storm of about half a minute.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { extractRoot } from '../../../images/bake/extract-root.ts'
import { sandboxLauncher } from '../../../infra/local/launcher.ts'
import { startFleet } from '../../../infra/local/fleet.ts'
import { renderStartPage } from '../../../storm/page/report-page.ts'
import { shortScenario } from '../../../storm/scenario.ts'
import { runStorm } from '../../../storm/storm.ts'
import { newestImage, project } from '../../kit/images/baked.ts'
import { scratchDirectories, smallFleet } from '../../kit/fleet/small-fleet.ts'

const scratch = scratchDirectories()
after(scratch.remove)

const { cacheDir } = project
const root = await extractRoot(await newestImage(), { cacheDir })

/** A link of the process in /proc: a namespace, the root, … */
function of(pid: number, what: string): string {
  return readlinkSync(`/proc/${pid}/${what}`)
}

suite('instances of the baked root', () => {
  test('instances run the baked server, can write nothing else, and share the PID namespace', async (t) => {
    const directory = scratch.make()
    const fleet = await startFleet(smallFleet(directory, { launcher: sandboxLauncher(root) }))
    t.after(fleet.stop)
    const pids = fleet.instances().map(({ pid }) => pid ?? 0)
    for (const pid of pids) {
      const [node, server] = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0')
      assert.deepEqual([node, server], ['/usr/lib/mailfleet/node', '/usr/lib/mailfleet/server.mjs'])
      assert.equal(of(pid, 'ns/pid'), of(process.pid, 'ns/pid'))
      assert.notEqual(of(pid, 'ns/mnt'), of(process.pid, 'ns/mnt'))
      // The sandbox has the image's files, not the machine's.
      assert.equal(existsSync(`/proc/${pid}/root${import.meta.dirname}`), false)
      const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n')
      const writable = mounts
        .map((line) => line.split(' '))
        .filter(([, , , , , options = '']) => options.split(',').includes('rw'))
        .map(([, , , , point = '']) => point)
        .filter((point) => !/^\/(dev|proc)(\/|$)/.test(point))
      assert.deepEqual(writable.sort(), ['/run', '/run/mailfleet-admin', '/tmp', '/var/spool/mailfleet'])
      assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^CapEff:\s+0+$/m)
    }
    await fleet.stop()
    assert.deepEqual(
      fleet.instances().map(({ exitCode }) => exitCode),
      [0, 0],
    )
  })

  test('in a storm the fleet scales out to three or more and back to one, without lost mail or resets', async (t) => {
    const directory = scratch.make()
    const report = await runStorm({
      directory,
      launcher: sandboxLauncher(root),
      scenario: shortScenario,
      volatile: true,
    })
    const { mail, fleet } = report
    t.diagnostic(
      `${mail.accepted} accepted, ${mail.refused} refused, ${fleet.maxInstances} instances at most, ` +
        `delay p50 ${mail.delayMs.p50} ms, p99 ${mail.delayMs.p99} ms, processors ${Math.round(report.cpuIdleAtPeak * 100)} % idle`,
    )
    assert.deepEqual({ lost: mail.lost, resets: mail.resetReasons }, { lost: 0, resets: {} })
    assert.deepEqual([mail.rejected, mail.givenUp, mail.foreign], [0, 0, 0])
    assert.equal(mail.forwarded, mail.accepted)
    assert.ok(mail.accepted > 1000, `${mail.accepted} accepted`)
    assert.ok(fleet.maxInstances >= 3, `${fleet.maxInstances} instances`)
    assert.deepEqual([fleet.finalInstances, fleet.crashed], [1, 0])
    assert.match(renderStartPage(report), /the fleet scaled out and in/)
    const [run = ''] = readdirSync(join(directory, 'logs'))
    assert.equal(readdirSync(join(directory, 'logs', run)).length, fleet.launched)
  })
})
