// The results of replies and errors, as a table.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  delivered,
  resultOfError,
  statusOf,
  type SendError,
} from '../../../server/delivery/delivery-result.ts'

const replied = (response: string): SendError => ({
  message: 'x',
  code: 'EENVELOPE',
  response,
})

const ERRORS: [SendError, kind: string, status: string][] = [
  [replied('550 5.1.1 no such user'), 'failed', '5.1.1'],
  [replied('554 no'), 'failed', '5.0.0'],
  [replied('550 4.1.1 a status of another class'), 'failed', '5.0.0'],
  [replied('421 4.7.0 slow down'), 'deferred', '4.7.0'],
  [replied('450 greylisted'), 'deferred', '4.0.0'],
  [replied('503 5.5.1 bad sequence'), 'deferred', '4.0.0'],
  [replied('what?'), 'deferred', '4.0.0'],
  [replied('5500 no reply code'), 'deferred', '4.0.0'],
  [replied('999 neither'), 'deferred', '4.0.0'],
  [{ message: 'Message size larger than allowed 10', code: 'EMESSAGE' }, 'failed', '5.3.4'],
  [{ message: 'Invalid recipient', code: 'EENVELOPE' }, 'failed', '5.1.3'],
  [{ message: 'Connection closed unexpectedly', code: 'ECONNECTION' }, 'deferred', '4.4.2'],
  [{ message: 'Timeout', code: 'ETIMEDOUT' }, 'deferred', '4.4.2'],
]

for (const [error, kind, status] of ERRORS) {
  test(`${error.response || error.message}: ${kind} ${status}`, () => {
    const outcome = resultOfError(error, 'mx.example')
    assert.equal(outcome.kind, kind)
    assert.equal(outcome.status, status)
  })
}

test('a reply is kept short and printable', () => {
  const { reply } = delivered(`250 2.0.0 ${'ok\r\n'.repeat(1_000)}`, 'mx.example')
  assert.ok(reply.length <= 500)
  assert.match(reply, /^250 2\.0\.0 ok ok .*…$/)
})

test('an enhanced status code counts only in its place in a reply', () => {
  assert.equal(statusOf('250-2.1.5 ok'), '2.1.5')
  assert.equal(statusOf('550 host 5.1.1 says no'), null)
  assert.equal(statusOf('550 5.1.1.9 no'), null)
  assert.equal(statusOf('550 5.1.1234 no'), null)
})
