// What an instance reports to the queue pulse: only while there is something to report, and once more when that ends.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb'
import { refusedWithin, startLoadReport, type LoadReportOptions } from '../../../server/fleet/load-report.ts'
import { createMetrics } from '../../../server/metrics.ts'
import { startAwsQueue } from '../../kit/aws/aws-queue.ts'
import { startServer } from '../../kit/server/server-process.ts'
import { openGreetedDialog } from '../../../mailkit/smtp-dialog.ts'
import { startFleetHarness } from '../../kit/server/fleet-harness.ts'

const PATIENCE_MS = 30_000
const INSTANCE = 'i-0123456789abcdef0'

const emulators = await startAwsQueue()
after(() => emulators.stop())
const aws = { region: 'eu-west-1', endpoints: emulators.endpoints }
const client = new DynamoDBClient({ endpoint: emulators.endpoints.dynamodb })
after(() => client.destroy())

/** What is stored of the instance: its numbers; undefined when it never reported. */
async function reported(table: string) {
  const Key = { pk: { S: 'load' }, sk: { S: INSTANCE } }
  const { Item } = await client.send(new GetItemCommand({ TableName: table, Key, ConsistentRead: true }))
  if (Item === undefined) return undefined
  const number = (name: string) => Number(Item[name]?.N)
  return {
    refused: number('refused'),
    faults: number('faults'),
    unknownVersion: number('unknownVersion'),
    keptSeconds: number('ttl') - number('atMs') / 1_000,
  }
}

type Report = Awaited<ReturnType<typeof reported>>

async function until(table: string, what: (report: Report) => boolean): Promise<Report> {
  const deadlineMs = Date.now() + PATIENCE_MS
  for (;;) {
    const report = await reported(table)
    if (what(report)) return report
    assert.ok(Date.now() < deadlineMs, JSON.stringify(report))
    await sleep(10)
  }
}

async function reporting(over: Partial<LoadReportOptions> = {}) {
  const { queue } = await emulators.createStores()
  const metrics = createMetrics(() => null)
  const logged: { event: string; fields: object }[] = []
  let asked = 0
  const stop = startLoadReport({
    aws,
    table: queue.table,
    reportMs: 20,
    windowMs: 60_000,
    instanceId: () => {
      asked++
      return Promise.resolve(INSTANCE)
    },
    metrics,
    unknownVersion: () => 0,
    log: (event, fields = {}) => logged.push({ event, fields }),
    ...over,
  })
  after(stop)
  return { table: queue.table, metrics, logged, asked: () => asked }
}

test('refusals of the last minute come from a counter', () => {
  const counts: { atMs: number; total: number }[] = []
  const at = (seconds: number, total: number) =>
    refusedWithin(counts, { atMs: seconds * 1_000, total }, 60_000)
  assert.equal(at(0, 0), 0)
  assert.equal(at(10, 5), 5)
  assert.equal(at(20, 5), 5)
  assert.equal(at(50, 8), 8)
  assert.equal(at(70, 8), 3)
  assert.equal(at(80, 8), 3)
  assert.equal(at(110, 8), 0)
  assert.equal(at(300, 9), 1)
  assert.ok(counts.length < 4)
})

test('a report counts only the refusals within its window', async () => {
  const { table, metrics } = await reporting({ windowMs: 200 })
  metrics.refusedDemand.inc(7)
  await until(table, (report) => report?.refused === 7)
  await until(table, (report) => report?.refused === 0)
})

test('nothing is written when there is nothing to report', async () => {
  const { table, metrics, asked } = await reporting()
  metrics.refused.inc({ reason: 'relay' })
  await sleep(300)
  assert.equal(asked(), 0)
  assert.equal(await reported(table), undefined)
})

test('refusals and unknown versions are reported, and once more when they end', async () => {
  let unknown = 2
  const { table, metrics, asked } = await reporting({ unknownVersion: () => unknown })
  const first = await until(table, (report) => report !== undefined)
  assert.equal(first?.unknownVersion, 2)
  assert.ok(Math.abs(first.keptSeconds - 3_600) <= 1, `${first.keptSeconds}`)
  metrics.refusedDemand.inc(7)
  metrics.refusedFaults.inc(3)
  await until(table, (report) => report?.refused === 7 && report.faults === 3)
  unknown = 0
  await until(table, (report) => report?.unknownVersion === 0)
  assert.ok(asked() > 0)
})

test('a failed write to the table gives a metric and a log line until it succeeds', async () => {
  const table = 'not-there'
  const { metrics, logged } = await reporting({ table, unknownVersion: () => 1 })
  for (let waited = 0; logged.length < 2 && waited < PATIENCE_MS; waited += 5) await sleep(5)
  assert.equal(logged[0]?.event, 'load-report-failed')
  const { values } = await metrics.errors.get()
  assert.ok((values.find(({ labels }) => labels.where === 'load-report')?.value ?? 0) >= 1)
})

test('a server on AWS is ready by its canary and reports its refusals for load', async (context) => {
  const { env, config, autoScaling } = await startFleetHarness(context)
  const { queue } = await emulators.createStores()
  const instance = await startServer({
    env,
    config: {
      ...config,
      aws: { endpoints: { ...config.aws.endpoints, ...emulators.endpoints } },
      queue: { ...queue, path: undefined, volatile: undefined, waitSeconds: 1, statsMs: 50 },
      limits: { bufferedBytes: 1_048_576 },
    },
  })
  await instance.logged('ready')
  await instance.logged('launch-completed')
  assert.equal(autoScaling.state.state, 'InService')
  assert.equal(await reported(queue.table), undefined)
  const dialog = await openGreetedDialog(instance.port)
  assert.match((await dialog.say('MAIL FROM:<a@sender.example> SIZE=2000000')) ?? '', /^452/)
  dialog.end()
  await until(queue.table, (report) => report?.refused === 1)
  assert.equal(await instance.stop(), 0)
})
