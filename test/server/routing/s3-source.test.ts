// Routes from S3: reloaded when they change, kept through broken edits and outages, polled for at start. With the real
// SDK and an S3 emulator over real sockets.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline, Readable } from 'node:stream'
import { after, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { startFauxqs } from 'fauxqs'
import { s3Client } from '../../../server/aws/clients.ts'
import type { ReloadReport } from '../../../server/routing/file-source.ts'
import { openS3Source } from '../../../server/routing/s3-source.ts'
import { EMULATOR_ENV } from '../../kit/aws/aws-queue.ts'
import { startServer } from '../../kit/server/server-process.ts'
import { openGreetedDialog } from '../../../mailkit/smtp-dialog.ts'

Object.assign(process.env, EMULATOR_ENV)
const TIMEOUT_MS = 30_000
const POLL_MS = 30
const KEY = 'routes.yaml'

const emulator = await startFauxqs({ port: 0, logger: false })
after(() => emulator.stop())
const aws = (s3: string) => ({ region: 'eu-west-1', endpoints: { s3 } })
const emulatorUrl = `http://127.0.0.1:${emulator.port}`

const table = (alias: string) => `domains: { example.org: { aliases: { ${alias}: [a@b.example] } } }\n`

/** Creates a bucket. @returns functions that change its routes */
async function bucketOf(context: TestContext, name: string) {
  emulator.createBucket(name)
  const client = await s3Client(aws(emulatorUrl))
  context.after(() => client.destroy())
  return {
    put: (text: string | Buffer) =>
      client.send(new PutObjectCommand({ Bucket: name, Key: KEY, Body: text, ContentType: 'text/yaml' })),
  }
}

/** Opens a source of the routes in `bucket` at `url`. */
async function follow(context: TestContext, bucket: string, url = emulatorUrl) {
  const reports: ReloadReport[] = []
  const source = await openS3Source({
    client: await s3Client(aws(url), { maxAttempts: 1 }),
    bucket,
    key: KEY,
    pollMs: POLL_MS,
    check: () => Promise.resolve(),
    onReload: (report) => reports.push(report),
  })
  context.after(source.close)
  return {
    reports,
    current: source.current,
    aliases: () => [...(source.current()?.get('example.org')?.keys() ?? [])].join(),
    /** Waits until the reports fulfil a condition. */
    until: async (what: (reports: readonly ReloadReport[]) => boolean) => {
      for (let waited = 0; !what(reports) && waited < TIMEOUT_MS; waited += 5) await sleep(5)
      assert.ok(what(reports), JSON.stringify(reports))
    },
  }
}

const loaded = (count: number) => (reports: readonly ReloadReport[]) =>
  reports.filter(({ result }) => result === 'loaded').length >= count

/** A proxy for the emulator: passes requests on, counts answers by status, and can simulate an outage. */
async function startGate(context: TestContext) {
  const state = { down: false }
  const statuses: number[] = []
  const server = createServer((request, response) => {
    if (state.down) return void request.socket.destroy()
    const headers = Object.fromEntries(
      Object.entries(request.headers).filter(([name]) => name !== 'host' && name !== 'connection'),
    ) as Record<string, string>
    void fetch(`${emulatorUrl}${request.url}`, { headers }).then(async (answer) => {
      statuses.push(answer.status)
      response.writeHead(answer.status, { etag: answer.headers.get('etag') ?? '' })
      response.end(Buffer.from(await answer.arrayBuffer()))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  context.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, state, statuses }
}

test('the table is loaded, reloaded when it changes, and not read again without a change', async (context) => {
  const bucket = await bucketOf(context, 'changed')
  await bucket.put(table('one'))
  const gate = await startGate(context)
  const routes = await follow(context, 'changed', gate.url)
  await routes.until(loaded(1))
  assert.equal(routes.aliases(), 'one')
  for (let waited = 0; gate.statuses.length < 4 && waited < TIMEOUT_MS; waited += 5) await sleep(5)
  assert.deepEqual(gate.statuses.slice(0, 4), [200, 304, 304, 304])
  await bucket.put(table('two'))
  await routes.until(loaded(2))
  assert.equal(routes.aliases(), 'two')
  assert.deepEqual(
    routes.reports.map(({ result }) => result),
    ['loaded', 'loaded'],
  )
})

test('a broken edit is reported once with the reason, and the last good table stays in use', async (context) => {
  const bucket = await bucketOf(context, 'broken-edit')
  await bucket.put(table('good'))
  const routes = await follow(context, 'broken-edit')
  await routes.until(loaded(1))
  await bucket.put('domains: { example.org: { aliases: { x: [nobody] } } }')
  await routes.until((reports) => reports.length >= 2)
  await sleep(5 * POLL_MS)
  assert.equal(routes.reports.length, 2)
  const [, report] = routes.reports
  assert.match(
    report?.result === 'broken' ? report.error : '',
    /^s3:\/\/broken-edit\/routes\.yaml: .*aliases\.x.*a mailbox such as/s,
  )
  assert.equal(routes.aliases(), 'good')
  await bucket.put(table('mended'))
  await routes.until(loaded(2))
  assert.equal(routes.aliases(), 'mended')
})

test('a missing object, then a broken one: no routes, and polling goes on', async (context) => {
  const bucket = await bucketOf(context, 'late')
  const routes = await follow(context, 'late')
  await routes.until((reports) => reports.some(({ result }) => result === 'unavailable'))
  assert.equal(routes.current(), null)
  await bucket.put('domains: 7')
  await routes.until((reports) => reports.some(({ result }) => result === 'broken'))
  assert.equal(routes.current(), null)
  await bucket.put(table('late'))
  await routes.until(loaded(1))
  assert.equal(routes.aliases(), 'late')
})

test('in an outage the last good table stays in use', async (context) => {
  const bucket = await bucketOf(context, 'outage')
  await bucket.put(table('before'))
  const gate = await startGate(context)
  const routes = await follow(context, 'outage', gate.url)
  await routes.until(loaded(1))
  gate.state.down = true
  await routes.until((reports) => reports.some(({ result }) => result === 'unavailable'))
  assert.equal(routes.aliases(), 'before')
  await bucket.put(table('after'))
  gate.state.down = false
  await routes.until(loaded(2))
  assert.equal(routes.aliases(), 'after')
})

test('a 403 names both causes: access denied, or a missing object in a bucket that may not be listed', async (context) => {
  const server = createServer((_request, response) => {
    response.writeHead(403, { 'content-type': 'application/xml' })
    response.end('<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  context.after(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const source = await follow(context, 'mail', url)
  await source.until(([report]) => report !== undefined)
  const [report] = source.reports
  assert.match(
    report?.result === 'unavailable' ? report.error : '',
    /role does not allow .*\(or it is not there\)/,
  )
})

test('a table above the size limit is not read, with and without a Content-Length', async (context) => {
  const announced = { 'content-length': '33554433' }
  let headers: Record<string, string> = announced
  const server = createServer((_request, response) => {
    response.writeHead(200, { etag: `"${Object.keys(headers).length}"`, ...headers })
    const pieces = Array<Buffer>(9).fill(Buffer.alloc(4_194_304, 0x20))
    pipeline(Readable.from(pieces), response, () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  context.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const routes = await follow(context, 'huge', url)
  await routes.until((reports) => reports.length > 0)
  headers = {}
  await routes.until((reports) => reports.some((report) => !JSON.stringify(report).includes('33554433')))
  for (const report of routes.reports)
    assert.match(
      report.result === 'broken' ? report.error : report.result,
      /^s3:\/\/huge\/routes\.yaml: .*at most 33554432 bytes, found \d+/s,
    )
  assert.match(JSON.stringify(routes.reports[0]), /found 33554433/)
})

test('a server without routes answers 451 and is not ready; after the load it answers 250, without a restart', async (context) => {
  const bucket = await bucketOf(context, 'server')
  const instance = await startServer({
    env: { ...EMULATOR_ENV },
    config: {
      aws: aws(emulatorUrl),
      routes: { file: undefined, bucket: 'server', key: KEY, pollMs: POLL_MS },
    },
  })
  await instance.logged('routes-unavailable')
  assert.equal((await instance.admin('/healthz')).status, 200)
  const ready = await instance.admin('/readyz')
  assert.equal(ready.status, 503)
  assert.equal(await ready.text(), 'routes not loaded\n')
  const dialog = await openGreetedDialog(instance.port)
  await dialog.say('MAIL FROM:<a@sender.example>')
  assert.match((await dialog.say('RCPT TO:<info@example.org>')) ?? '', /^451/)
  await bucket.put(table('info'))
  await instance.logged('routes-loaded')
  assert.match((await dialog.say('RCPT TO:<info@example.org>')) ?? '', /^250/)
  dialog.end()
  while ((await instance.admin('/readyz')).status !== 200) await sleep(10)
  assert.equal(await instance.metric('mailfleet_routes_reloads_total{result="loaded"}'), 1)
  assert.equal(await instance.stop(), 0)
})
