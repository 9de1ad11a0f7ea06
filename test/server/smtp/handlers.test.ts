// A handler that throws gives a 451 and a metric, and the session goes on.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadConfig } from '../../../server/config/load.ts'
import { createMetrics } from '../../../server/metrics.ts'
import { smtpServerOptions } from '../../../server/smtp/handlers.ts'
import { createSessionClass, useSessions } from '../../../server/smtp/session.ts'
import type { Transactions } from '../../../server/smtp/transaction.ts'
import { createRefusedDemand } from '../../../server/smtp/refused-demand.ts'
import { SMTPServer } from 'smtp-server'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import { SECRET, testFolder } from '../../kit/server/server-process.ts'
import { openDialog } from '../../../mailkit/smtp-dialog.ts'

const STATS = {
  ready: 0,
  inFlight: 0,
  deferred: 0,
  oldestReadyMs: 0,
  unknownVersion: 0,
  entries: 0,
  bytes: 0,
}

function config(limits: object = {}) {
  const file = join(testFolder(), 'config.json')
  const settings = {
    hostname: 'mx1.example.net',
    postmaster: 'ops@mailbox.example',
    listen: { smtp: { port: 0 }, admin: { port: 0 } },
    queue: { path: '/nowhere' },
    routes: { file: '/nowhere' },
    srs: { domain: 'srs.example.com', secrets: [SECRET] },
    limits,
  }
  writeFileSync(file, JSON.stringify(settings))
  return loadConfig(file).config
}

test('a TypeError in each handler gives 451, and the session goes on', async () => {
  const broken = new Set<string>()
  const fail = (where: string) => {
    if (broken.has(where)) throw new TypeError(`a bug in ${where}`)
  }
  const transactions: Transactions = {
    mail: () => {
      fail('mail')
      return null
    },
    recipient: () => {
      fail('rcpt')
      return null
    },
    data: async (stream) => {
      for await (const chunk of stream) void chunk
      fail('data')
      return { id: 'x' }
    },
  }
  const metrics = createMetrics(() => STATS)
  const connected = { draining: false, connections: 1, fromClient: new Map<string, number>() }
  const demand = createRefusedDemand({ windowMs: 60_000, transactions: () => 0, nowMs: () => 0 })
  const options = { config: config(), tls: null, transactions, metrics, demand, log: () => {} }
  const server = new SMTPServer(smtpServerOptions(options, connected))
  const Class = createSessionClass({ isDraining: () => false, dataMs: 60_000, commandsMs: 60_000 })
  useSessions(server, Class, () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const dialog = await openDialog((server.server.address() as AddressInfo).port)
  await dialog.reply()
  await dialog.say('EHLO client.example')
  broken.add('mail')
  assert.match((await dialog.say('MAIL FROM:<a@b.example>')) ?? '', /^451 4\.3\.0 /)
  broken.delete('mail')
  broken.add('rcpt')
  assert.match((await dialog.say('MAIL FROM:<a@b.example>')) ?? '', /^250 /)
  assert.match((await dialog.say('RCPT TO:<a@b.example>')) ?? '', /^451 4\.3\.0 /)
  broken.delete('rcpt')
  broken.add('data')
  assert.match((await dialog.say('RCPT TO:<a@b.example>')) ?? '', /^250 /)
  assert.match((await dialog.say('DATA')) ?? '', /^354 /)
  assert.match((await dialog.say('x\r\n.')) ?? '', /^451 4\.3\.0 /)
  broken.clear()
  assert.match((await dialog.say('MAIL FROM:<a@b.example>')) ?? '', /^250 /)
  await dialog.say('RCPT TO:<a@b.example>')
  await dialog.say('DATA')
  assert.match((await dialog.say('x\r\n.')) ?? '', /^250 2\.0\.0 queued as x$/)
  dialog.end()
  const { text } = await metrics.scrape()
  for (const where of ['mail', 'rcpt', 'data'])
    assert.match(text, new RegExp(`mailfleet_errors_total\\{where="${where}"\\} 1`))
  assert.match(text, /mailfleet_refused_total\{reason="error"\} 3/)
  assert.match(text, /mailfleet_refused_faults_total 3/)
  assert.match(text, /mailfleet_refused_demand_total 0/)
  await new Promise<void>((resolve) => server.close(resolve))
})

test('the limits on size and idle time are passed to smtp-server', () => {
  const transactions = { mail: () => null, recipient: () => null, data: () => Promise.resolve({ id: 'x' }) }
  const connected = { draining: false, connections: 1, fromClient: new Map<string, number>() }
  const limits = { messageBytes: 12_345, idleMs: 6_789 }
  const metrics = createMetrics(() => STATS)
  const demand = createRefusedDemand({ windowMs: 60_000, transactions: () => 0, nowMs: () => 0 })
  const options = smtpServerOptions(
    { config: config(limits), tls: null, transactions, metrics, demand, log: () => {} },
    connected,
  )
  assert.equal(options.size, 12_345)
  assert.equal(options.socketTimeout, 6_789)
})
