// The published image on a fake AWS: it forwards real mail and drains before it is terminated.
// Its configuration comes from the metadata service. Its queue is on SQS, S3 and DynamoDB.
// It is a member of an Auto Scaling group.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { greets, submitUntilAccepted } from '../../mailkit/smtp-client.ts'
import { newestImage } from '../kit/images/baked.ts'
import { folderFor } from '../kit/queue/embedded-harness.ts'
import { startSmtpSink } from '../../mailkit/smtp-sink.ts'
import { bootInstance, startRegion } from './aws-instance.ts'

const ROUTES = {
  domains: { 'example.org': { aliases: { info: ['a@b.example'], team: ['a@b.example', 'c@d.example'] } } },
}
const SENDER = 'sender@origin.example'
const UP_MS = 300_000

function mail(subject: string, to: string, size: number) {
  const body = `${'x'.repeat(70)}\r\n`.repeat(Math.ceil(size / 72))
  return { from: SENDER, to: [to], raw: Buffer.from(`Subject: ${subject}\r\n\r\n${body}`) }
}
const subjects = (received: readonly { text: string }[]) =>
  received.map(({ text }) => /^Subject: (.*)\r$/m.exec(text)?.[1]).sort()

const SUBJECTS = ['one destination', 'too large for a queue message', 'two destinations']

test('the image runs on AWS: ready by its canary, forwards, drains when it is to be terminated', async (t) => {
  let holding = false
  let release = () => {}
  const released = new Promise<void>((resolve) => (release = resolve))
  const sink = await startSmtpSink({ data: async () => (holding && (await released), null) })
  t.after(() => sink.close())
  const region = await startRegion(t, { routes: ROUTES, sinkPort: sink.port })
  const guest = await bootInstance(t, region, await newestImage(), folderFor(t))

  await guest.until('it completes its launch', () => region.autoScaling.state.state === 'InService')
  t.diagnostic(`in service after ${guest.seconds()} s`)
  assert.equal(await guest.status('/readyz'), 200)
  assert.equal(await guest.status('/healthz'), 200)
  assert.ok(!region.metadata.asked.some((request) => request.startsWith('GET /latest/meta-data/tags')))

  const send = (subject: string, to = 'info@example.org', size = 0) =>
    submitUntilAccepted(guest.port, mail(subject, to, size), AbortSignal.timeout(UP_MS))
  await send('one destination')
  await send('two destinations', 'team@example.org')
  await send('too large for a queue message', 'info@example.org', 400_000)
  await guest.until('all of it arrives', () => sink.mail.length >= 3)
  assert.deepEqual(subjects(sink.mail), SUBJECTS)
  assert.deepEqual(sink.mail.find(({ to }) => to.length > 1)?.to, ['a@b.example', 'c@d.example'])
  const large = sink.mail.find(({ text }) => text.length > 400_000)
  assert.ok(large, 'its body came back from S3 whole')
  assert.ok(sink.mail.every(({ from }) => from.startsWith('SRS0') && from.endsWith('@srs.example.com')))
  await guest.until('nothing is queued', () => Object.values(region.count()).every((count) => count === 0))

  // The group terminates the instance while four deliveries hang and the other messages wait in the queue.
  holding = true
  const waiting = Array.from({ length: 10 }, (_, index) => `waiting ${index}`)
  for (const subject of waiting) await send(subject)
  await guest.until('deliveries hang', () => region.count().inFlight >= 4)
  region.autoScaling.state.state = 'Terminating:Wait'
  region.metadata.state.target = 'Terminated'
  await guest.until('it drains', async () => (await guest.status('/readyz')) === 503)
  assert.equal(await greets(guest.port, 30_000), false, 'a new session is not greeted with 220')
  const beats = () =>
    region.autoScaling.calls.filter((call) => call === 'RecordLifecycleActionHeartbeat terminate')
  await guest.until('it asks for time', () => beats().length >= 2)
  assert.equal(region.autoScaling.state.state, 'Terminating:Wait', 'it has not left before its work is done')
  release()
  await guest.until('it is done', () => region.autoScaling.state.state === 'Terminating:Proceed')

  assert.deepEqual(informationIn(guest.console()), [], 'its console has warnings only')

  const left = region.count()
  t.diagnostic(`${beats().length} heartbeats; left: ${JSON.stringify(left)}`)
  assert.equal(left.inFlight, 0, 'nothing is left leased')
  assert.equal(left.dead, 0)
  const delivered = sink.mail.length - 3
  assert.ok(delivered >= 4, 'what was in progress was finished')
  assert.equal(
    delivered + left.ready + left.deferred,
    waiting.length,
    'the rest is there for other instances',
  )
})

function informationIn(lines: string[]): string[] {
  return lines.filter((line) => /"event":"(listening|accepted|delivered|ready|draining)"/.test(line))
}
