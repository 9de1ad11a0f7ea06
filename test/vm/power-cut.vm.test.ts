// Every message that got a 250 survives a power cut under load, while the queue is full of hanging deliveries.
// The test kills QEMU: all unflushed data is lost, as on a real host. Killing only the server keeps the kernel's cache.
// The same test without flushing must find losses.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { chooseAccel, probeKvm } from '../../images/boot/qemu/acceleration.ts'
import { makeSpoolDisk } from '../../images/boot/spool-disk.ts'
import { newestImage } from '../kit/images/baked.ts'
import { folderFor } from '../kit/queue/embedded-harness.ts'
import { bootGuest, startGate, type Guest } from './power-cut-guest.ts'
import { startMailboxes, startCrashSenders } from '../kit/crash/mail.ts'
import { between, type Random } from '../../platform/seeded-random.ts'
import { seeded } from '../kit/crash/random.ts'
import { openTally, type Tally } from '../kit/crash/tally.ts'

/** Successive cuts on each spool. Guests boot in parallel, so more spools are faster than more cuts. */
const SPOOLS = process.env['MAILFLEET_FULL'] === '1' ? [5, 5] : [3]
const SENDERS = 8
const SPOOL_BYTES = 256 * 1024 * 1024

/** Messages accepted in one boot before the cut: a few seconds of load, well within ext4's 5 s commit interval. */
const LEAST_ACCEPTED = 30
const MOST_ACCEPTED = 100
/** A random delay up to this puts the cut at any moment of a commit in progress. */
const MOMENT_MS = 300

/** After this long without an arrival the test stops waiting: it is twelve leases, or sixty retries. */
const QUIET_MS = 60_000
const LOAD_MS = 120_000

test('the power is cut under load', { concurrency: 3 }, async (t) => {
  const image = await newestImage()
  const accel = await chooseAccel('auto', () => probeKvm(folderFor(t)))
  t.diagnostic(`${image.digest.slice(0, 12)}, ${accel}`)
  const flushing = SPOOLS.map((cuts, index) =>
    t.test(`flushing, spool ${index + 1}: ${cuts} cuts, every message that got a 250 arrives`, async (t) => {
      const { tally, damaged } = await cutAndCount(t, { disk: image.disk, accel, cuts, queue: {} })
      assert.deepEqual(damaged, [])
      assert.deepEqual(tally.missing(), [])
    }),
  )
  const notFlushing = t.test('not flushing: the same test finds losses', async (t) => {
    const queue = { flush: false, volatile: true }
    const { tally } = await cutAndCount(t, { disk: image.disk, accel, cuts: 1, queue })
    assert.ok(tally.missing().length > 0, 'nothing was lost, so this test would not notice a missing flush')
  })
  // In parallel, because an emulated guest keeps only one processor busy.
  await Promise.all([...flushing, notFlushing])
})

type Setting = {
  disk: string
  accel: Awaited<ReturnType<typeof chooseAccel>>
  cuts: number
  queue: Record<string, unknown>
}

/** Cuts the power `cuts` times on one spool disk, then opens the gate and delivers the rest of the queue. */
async function cutAndCount(t: TestContext, { disk, accel, cuts, queue }: Setting) {
  const random = seeded(t)
  const workDir = folderFor(t)
  const spool = join(workDir, 'spool.raw')
  await makeSpoolDisk(spool, SPOOL_BYTES)
  const tally = openTally()
  const damaged: string[] = []
  const mailboxes = await startMailboxes(random, tally, damaged)
  t.after(() => mailboxes.close())
  const gate = await startGate(t, mailboxes.port)
  const boot = () => bootGuest(t, { accel, disk, spool, workDir, gate, queue })
  for (let cut = 1; cut <= cuts; cut++) {
    const guest = await boot()
    const accepted = await loadAndCut(guest, random, tally)
    t.diagnostic(`cut ${cut}: up after ${guest.upSeconds} s, ${accepted} accepted`)
  }
  assert.equal(tally.arrived(), 0, 'everything accepted was still queued when the power went')
  gate.open()
  const last = await boot()
  t.diagnostic(`after the last: up after ${last.upSeconds} s, ${await last.queued()} messages still queued`)
  await emptied(last, tally)
  const figures = [
    `cuts ${cuts}`,
    `accepted ${tally.promised()}`,
    `delivered ${tally.arrived()}`,
    `duplicates ${tally.duplicates()}`,
    `lost ${tally.missing().length}`,
  ]
  t.diagnostic(figures.join(', '))
  return { tally, damaged }
}

async function loadAndCut(guest: Guest, random: Random, tally: Tally): Promise<number> {
  const before = tally.promised()
  const enough = before + between(random, [LEAST_ACCEPTED, MOST_ACCEPTED])
  let up = true
  const senders = startCrashSenders(SENDERS, random, tally, () => (up ? [guest.port] : []))
  const deadline = performance.now() + LOAD_MS
  while (tally.promised() < enough && performance.now() < deadline) await sleep(5)
  await sleep(between(random, [0, MOMENT_MS]))
  const cut = guest.cut()
  up = false
  await cut
  await senders.stop()
  const accepted = tally.promised() - before
  assert.ok(accepted >= LEAST_ACCEPTED, `only ${accepted} accepted: no load`)
  return accepted
}

/** Waits until the queue is empty, or no message has arrived for QUIET_MS. */
async function emptied(guest: Guest, tally: Tally): Promise<void> {
  let arrived = tally.arrived()
  let since = performance.now()
  while (performance.now() - since < QUIET_MS && (await guest.queued()) > 0) {
    await sleep(500)
    if (tally.arrived() === arrived) continue
    arrived = tally.arrived()
    since = performance.now()
  }
}
