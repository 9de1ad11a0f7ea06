// The check of the network cut, and its listener.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { cutProblem, openLiveListener } from '../../../images/boot/network-cut.ts'

const allowed = { host: '10.0.2.100', port: 2526 }
const forbidden = { host: '10.0.2.2', port: 40000 }
const tried = (allowedOutcome: string, forbiddenOutcome: string) => ({
  attempts: [
    { ...allowed, outcome: allowedOutcome },
    { ...forbidden, outcome: forbiddenOutcome },
  ],
})

test('cut off is: the allowed address answers, the other does not', () => {
  for (const outcome of ['ECONNREFUSED', 'timeout', 'ENETUNREACH']) {
    assert.equal(cutProblem(tried('connected', outcome), { allowed, forbidden, reached: 0 }), null)
  }
})

test('a listener that was reached, by either side’s account, is no cut', () => {
  assert.match(
    cutProblem(tried('connected', 'connected'), { allowed, forbidden, reached: 1 }) ?? '',
    /not cut off/,
  )
  assert.match(
    cutProblem(tried('connected', 'timeout'), { allowed, forbidden, reached: 1 }) ?? '',
    /not cut off/,
  )
})

test('a guest without any network, or that did not try, proves nothing', () => {
  const verdict = { allowed, forbidden, reached: 0 }
  assert.match(cutProblem(tried('ENETUNREACH', 'ENETUNREACH'), verdict) ?? '', /nothing is proved/)
  assert.match(cutProblem({ attempts: [] }, verdict) ?? '', /nothing is proved/)
  assert.match(
    cutProblem({ attempts: [{ ...allowed, outcome: 'connected' }] }, verdict) ?? '',
    /did not try .*: nothing is proved/,
  )
})

test('the listener counts who reaches it, its own proof of life excepted', async () => {
  const live = await openLiveListener()
  assert.equal(live.reached(), 0)
  await once(connect({ host: '127.0.0.1', port: live.address.port }).resume(), 'close')
  assert.equal(live.reached(), 1)
  live.close()
})
