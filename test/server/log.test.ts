// The log's bounds: lines a second of one event, and what an error says.
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

test('an event beyond its lines a second is left out, and said so when the next second begins', () => {
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

test('failures are limited, each kind by itself; what became of mail is always said', () => {
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

test('an error says its message, its code and where it was thrown', () => {
  const fields = errorFields(Object.assign(new Error('no'), { code: 'EIO' }))
  assert.equal(fields['error'], 'no')
  assert.equal(fields['code'], 'EIO')
  assert.match(String(fields['at']), /log\.test\.ts/)
  assert.deepEqual(errorFields('text'), { error: 'text' })
})

test('for a reader that stands still little is kept, and nothing waits', async () => {
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

test('failures are warnings, what became of mail is information, a crash is an error', () => {
  const events = ['uncaught', 'queue-failed', 'routes-broken', 'accepted', 'failed', 'listening']
  assert.deepEqual(events.map(logLevel), [3, 4, 4, 6, 6, 6])
})

/** What a process logs to its standard output, a pipe. `named` gives JOURNAL_STREAM, from that pipe's device and inode. */
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

test('a line begins with its level when standard output is the journal, and only then', async () => {
  assert.match(await logged('`${dev}:${ino}`'), /^<4>\{"event":"queue-failed"/)
  assert.match(await logged('`${dev}:${ino + 1n}`'), /^\{"event":"queue-failed"/)
  const { dev, ino } = fstatSync(0, { bigint: true })
  assert.equal(isJournal(0, { JOURNAL_STREAM: `${dev}:${ino}` }), true)
  assert.equal(isJournal(0, {}), false)
})
