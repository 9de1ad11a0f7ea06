// The admin endpoint: the contract's metrics, health of this instance only, and readiness.
import assert from 'node:assert/strict'
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { spoolWritable, startAdmin } from '../../../server/fleet/admin.ts'
import { startServer, testFolder } from '../../kit/server/server-process.ts'
import { getOverSocket } from '../../kit/server/unix-socket.ts'

const GAUGES = [
  'mailfleet_queue_ready',
  'mailfleet_queue_in_flight',
  'mailfleet_queue_deferred',
  'mailfleet_queue_oldest_ready_seconds',
  'mailfleet_queue_bytes',
  'mailfleet_smtp_connections',
  'mailfleet_smtp_transactions',
  'mailfleet_deliveries_in_progress',
  'mailfleet_queue_problem{reason="spool-gone"}',
  'mailfleet_queue_problem{reason="slow-commit"}',
]

const COUNTERS = [
  'mailfleet_messages_accepted_total',
  'mailfleet_refused_total{reason="backlog"}',
  'mailfleet_refused_demand_total',
  'mailfleet_refused_faults_total',
  'mailfleet_deliveries_total{result="delivered"}',
  'mailfleet_deliveries_total{result="deferred"}',
  'mailfleet_deliveries_total{result="failed"}',
  'mailfleet_forward_delay_seconds_count',
  'mailfleet_slow_commits_total',
  'mailfleet_clock_steps_total{direction="back"}',
]

/** Some of what prom-client tells of every process. */
const PROCESS = [
  'process_cpu_seconds_total',
  'process_resident_memory_bytes',
  'process_open_fds',
  'nodejs_eventloop_lag_seconds',
]

test('every metric of the contract starts at zero', async () => {
  const instance = await startServer({})
  for (const name of [...GAUGES, ...COUNTERS]) assert.equal(await instance.metric(name), 0, name)
  for (const name of PROCESS) assert.notEqual(await instance.metric(name), null, name)
  // Opening the queue was a commit.
  assert.ok(((await instance.metric('mailfleet_queue_commit_seconds_count')) ?? 0) > 0)
  assert.ok(((await instance.metric('mailfleet_queue_lock_wait_seconds_count')) ?? 0) > 0)
  assert.equal((await instance.admin('/readyz')).status, 200)
  assert.equal((await instance.admin('/healthz')).status, 200)
  assert.equal((await instance.admin('/else')).status, 404)
  assert.equal(await instance.stop(), 0)
})

test('the endpoint replaces the socket file of a killed instance, and a check that throws gives 500', async () => {
  const socket = join(testFolder(), 'admin.sock')
  writeFileSync(socket, '')
  const admin = await startAdmin({
    listen: { host: '', socket },
    scrape: () => Promise.reject(new Error('broken')),
    healthy: () => null,
    ready: () => 'routes not loaded',
    log: () => {},
  })
  assert.deepEqual(await getOverSocket(socket, '/healthz'), { status: 200, text: 'ok\n' })
  assert.deepEqual(await getOverSocket(socket, '/readyz'), { status: 503, text: 'routes not loaded\n' })
  assert.equal((await getOverSocket(socket, '/metrics')).status, 500)
  assert.equal((await getOverSocket(socket, '/metrics', 'POST')).status, 405)
  admin.close()
  assert.equal(existsSync(socket), false)
})

test('an instance is unhealthy when its spool is gone or unwritable', async () => {
  const folder = testFolder()
  assert.equal(await spoolWritable(folder), null)
  assert.match((await spoolWritable(join(folder, 'gone'))) ?? '', /ENOENT/)
  // Root may write everywhere.
  if (process.getuid?.() === 0) return
  chmodSync(folder, 0o500)
  assert.match((await spoolWritable(folder)) ?? '', /EACCES/)
})
