// The log's bounds: lines a second of one event, and what an error says.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorFields, limitLog, type Fields } from '../../server/log.ts'

test('an event beyond its lines a second is left out, and said so when the next second begins', () => {
  const lines: [string, Fields | undefined][] = []
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

test('an error says its message, its code and where it was thrown', () => {
  const fields = errorFields(Object.assign(new Error('no'), { code: 'EIO' }))
  assert.equal(fields['error'], 'no')
  assert.equal(fields['code'], 'EIO')
  assert.match(String(fields['at']), /log\.test\.ts/)
  assert.deepEqual(errorFields('text'), { error: 'text' })
})
