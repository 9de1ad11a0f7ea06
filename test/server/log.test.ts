// The log's limits and levels, and the fields of an error.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fstatSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  errorFields,
  isJournal,
  logLevel,
  limitFailures,
  limitLog,
  type LogFields,
} from '../../server/log.ts'

test('lines beyond the limit of an event are dropped, and the next second logs their number', () => {
  const lines: [string, LogFields | undefined][] = []
  let nowMs = 0
  const log = limitLog(
    (event, fields) => lines.push([event, fields]),
    2,
    () => nowMs,
  )
  for (let count = 0; count < 5; count++) log('refused', { count })
  log('other', {})
  nowMs = 1_000
  log('refused', { count: 5 })
  assert.deepEqual(lines, [
    ['refused', { count: 0 }],
    ['refused', { count: 1 }],
    ['other', {}],
    ['refused', { leftOut: 3 }],
    ['refused', { count: 5 }],
  ])
})

test('failure events are limited each on its own; delivery results are never dropped', () => {
  const events: string[] = []
  const log = limitFailures(
    (event) => events.push(event),
    1,
    () => 0,
  )
  for (let count = 0; count < 3; count++)
    for (const event of ['accepted', 'failed', 'queue-failed', 'lease-failed']) log(event)
  const thrice = ['accepted', 'failed', 'accepted', 'failed', 'accepted', 'failed']
  assert.deepEqual(events.sort(), [...thrice, 'lease-failed', 'queue-failed'].sort())
})

test('the fields of an error are its message, its code and where it was thrown', () => {
  const fields = errorFields(Object.assign(new Error('no'), { code: 'EIO' }))
  assert.equal(fields['error'], 'no')
  assert.equal(fields['code'], 'EIO')
  assert.match(String(fields['at']), /log\.test\.ts/)
  assert.deepEqual(errorFields('text'), { error: 'text' })
})

test('for a reader that does not read, the buffer is bounded and writing does not wait', async () => {
  const program = `
    const { createLog } = await import(process.argv[1])
    const log = createLog()
    for (let line = 0; line < 100_000; line++) log('much', { text: 'x'.repeat(200) })
    process.stderr.write(String(process.stdout.writableLength), () => process.kill(process.pid, 'SIGKILL'))`
  const module = join(import.meta.dirname, '../../server/log.ts')
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, module])
  let kept = ''
  child.stderr.on('data', (chunk: Buffer) => (kept += chunk.toString()))
  await once(child, 'exit')
  child.stdout.destroy()
  assert.ok(Number(kept) > 1_000_000 && Number(kept) < 5_000_000, kept)
})

test('failures are warnings, delivery results are INFO, a crash is an error', () => {
  const events = ['uncaught', 'queue-failed', 'routes-broken', 'accepted', 'failed', 'listening']
  assert.deepEqual(events.map(logLevel), [3, 4, 4, 6, 6, 6])
})

/** @returns the log of a process on a pipe. `named` makes JOURNAL_STREAM from the pipe's device and inode. */
async function logged(named: string): Promise<string> {
  const program = `
    const { fstatSync } = await import('node:fs')
    const { dev, ino } = fstatSync(1, { bigint: true })
    process.env.JOURNAL_STREAM = ${named}
    const { createLog } = await import(process.argv[1])
    createLog()('queue-failed')`
  const module = join(import.meta.dirname, '../../server/log.ts')
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, module])
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await once(child, 'close')
  return text
}

test('a line begins with its level only when standard output is the journal', async () => {
  assert.match(await logged('`${dev}:${ino}`'), /^<4>\{"event":"queue-failed"/)
  assert.match(await logged('`${dev}:${ino + 1n}`'), /^\{"event":"queue-failed"/)
  const { dev, ino } = fstatSync(0, { bigint: true })
  assert.equal(isJournal(0, { JOURNAL_STREAM: `${dev}:${ino}` }), true)
  assert.equal(isJournal(0, {}), false)
})
