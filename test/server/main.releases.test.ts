// Two releases on one queue, as in every rollout and rollback. Each release delivers the other's entries. An entry of an
// unknown version stays queued for a release that knows it. With whole servers, on both queue engines.
import assert from 'node:assert/strict'
import { after, before, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startAwsQueue, type AwsQueue } from '../kit/aws/aws-queue.ts'
import { startServer, testFolder, type ServerProcess } from '../kit/server/server-process.ts'
import { bundleOtherRelease, linkNodeModules } from '../kit/server/release.ts'
import { startSmtpSink, type SmtpReply, type ReceivedMessage } from '../../mailkit/smtp-sink.ts'
import { openGreetedDialog, sendMail } from '../../mailkit/smtp-dialog.ts'

const TIMEOUT_MS = 120_000
/** So few receives that an entry soon becomes a dead letter if a release only returns it. */
const MAX_RECEIVES = 2

let aws: AwsQueue
const releases = { today: '', reader: '', writer: '' }

before(async () => {
  aws = await startAwsQueue()
  const folder = testFolder()
  linkNodeModules(folder)
  releases.today = await bundleOtherRelease(folder, 'today', { known: [1], makes: 1 })
  releases.reader = await bundleOtherRelease(folder, 'reader', { known: [1, 2], makes: 1 })
  releases.writer = await bundleOtherRelease(folder, 'writer', { known: [1, 2], makes: 2 })
})
after(() => aws.stop())

type Queue = { settings: Record<string, unknown>; deadLetters: () => number }

const engines: Record<string, () => Promise<Queue>> = {
  embedded: () =>
    Promise.resolve({ settings: { queue: { path: `${testFolder()}/spool` } }, deadLetters: () => 0 }),
  aws: async () => {
    const stores = await aws.createStores(MAX_RECEIVES)
    // Remove the base configuration's path, which only the embedded queue has.
    const queue = { ...stores.queue, path: undefined, volatile: undefined, waitSeconds: 1, statsMs: 200 }
    return {
      settings: { queue, aws: { endpoints: aws.endpoints } },
      deadLetters: () => aws.deadLetters(stores),
    }
  },
}

for (const [engine, open] of Object.entries(engines)) {
  test(`${engine}: the previous and the next release share a queue, after an update and after a rollback`, async (t) => {
    const fleet = await startFleet(t, await open(), failFirst())
    const old = await fleet.start(releases.reader)
    await fleet.send(old, 4)
    const next = await fleet.start(releases.writer)
    await Promise.all([fleet.send(old, 4), fleet.send(next, 4)])
    assert.equal(await old.stop(), 0)
    await fleet.send(next, 4)
    const back = await fleet.start(releases.reader)
    await Promise.all([fleet.send(back, 4), fleet.send(next, 4)])
    assert.equal(await next.stop(), 0)
    await fleet.send(back, 4)
    await fleet.allDelivered()
    assert.equal(await back.metric('mailfleet_queue_unknown_version'), 0)
    assert.equal(await back.stop(), 0)
  })

  test(`${engine}: a release leaves an entry of an unknown version queued for a release that knows it`, async (t) => {
    let refusing = true
    const fleet = await startFleet(t, await open(), () => (refusing ? '451 4.3.0 later' : null))
    const writer = await fleet.start(releases.writer)
    await fleet.send(writer, 3)
    while (((await writer.metric('mailfleet_deliveries_total{result="deferred"}')) ?? 0) < 3) await sleep(50)
    assert.equal(await writer.stop(), 0)

    refusing = false
    const today = await fleet.start(releases.today)
    await fleet.send(today, 3)
    await fleet.delivered(3)
    const deadline = Date.now() + TIMEOUT_MS
    while ((await today.metric('mailfleet_queue_unknown_version')) !== 3) {
      assert.ok(Date.now() < deadline, 'all three are counted')
      await sleep(100)
    }
    assert.equal(fleet.sink.mail.length, 3, 'and none of them was touched')
    assert.equal(await today.stop(), 0)

    const again = await fleet.start(releases.writer)
    await fleet.allDelivered()
    assert.equal(await again.stop(), 0)
  })
}

/** Defers the third message once, so that entries live from one release into the next. */
function failFirst(): (message: ReceivedMessage) => SmtpReply {
  const seen = new Set<string>()
  return ({ text: message }) => {
    const number = Number(/^Subject: (\d+)/m.exec(message)?.[1])
    const key = `${number}`
    if (number % 3 !== 0 || seen.has(key)) return null
    seen.add(key)
    return '451 4.3.0 later'
  }
}

async function startFleet(t: TestContext, queue: Queue, data: (message: ReceivedMessage) => SmtpReply) {
  const sink = await startSmtpSink({ data })
  t.after(() => sink.close())
  const sent: number[] = []
  const arrived = () => sink.mail.map(({ text: message }) => Number(/^Subject: (\d+)/m.exec(message)?.[1]))

  async function delivered(count: number): Promise<void> {
    const deadline = Date.now() + TIMEOUT_MS
    while (sink.mail.length < count) {
      assert.ok(Date.now() < deadline, `${sink.mail.length} of ${count} arrived`)
      await sleep(50)
    }
  }

  return {
    sink,
    start: (program: string): Promise<ServerProcess> =>
      startServer({
        program,
        config: {
          ...queue.settings,
          delivery: { relay: { host: '127.0.0.1', port: sink.port }, leaseMs: 5_000 },
          retry: { firstMs: 1_000, maxMs: 1_000 },
        },
      }),
    send: async (instance: ServerProcess, count: number): Promise<void> => {
      const dialog = await openGreetedDialog(instance.port)
      for (let i = 0; i < count; i++) {
        const number = sent.push(sent.length) - 1
        const message = `Subject: ${number}\r\n\r\ntext\r\n`
        assert.match((await sendMail(dialog, { to: ['info@example.org'], message })).at(-1) ?? '', /^250/)
      }
      dialog.end()
    },
    delivered,
    /** Checks that each message arrived once, and that there are no dead letters. */
    allDelivered: async (): Promise<void> => {
      await delivered(sent.length)
      assert.deepEqual(
        arrived().sort((a, b) => a - b),
        sent,
      )
      assert.equal(queue.deadLetters(), 0)
    },
  }
}
