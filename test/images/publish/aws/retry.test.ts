// What is tried again, how often, and what is not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitUntilSettled, retryEbsRequest } from '../../../../images/publish/aws/retry.ts'
import { SHORT_LIMITS } from '../../../kit/images/fake-image.ts'

const signal = new AbortController().signal
const failure = (name: string, httpStatusCode?: number, more: object = {}) =>
  Object.assign(new Error(name), { name, $metadata: { httpStatusCode }, ...more })

/** Fails `times` times with `error`. @returns how often it was called, and whether it succeeded. */
async function tried(error: Error, times: number, snapshotSinceMs?: number) {
  let calls = 0
  const request = () => (++calls <= times ? Promise.reject(error) : Promise.resolve('done'))
  const o = { limits: SHORT_LIMITS, signal, snapshotSinceMs }
  const succeeded = await retryEbsRequest(request, o).then(
    () => true,
    (reason: unknown) => {
      assert.equal(reason, error)
      return false
    },
  )
  return { calls, succeeded }
}

test('throttling, errors of the server and of the network get another try', async () => {
  for (const error of [
    failure('ThrottlingException', 400),
    failure('RequestThrottledException', 400),
    failure('InternalServerException', 500),
    failure('ServiceUnavailable', 503),
    failure('TimeoutError'),
    // A block that came too slowly, or twice, and a clock that the SDK has set right: not what their names say.
    failure('ValidationException', 400, { message: 'Failed to read block data' }),
    failure('ValidationException', 400, { Reason: 'WRITE_REQUEST_TIMEOUT' }),
    failure('ValidationException', 400, { Reason: 'CONFLICTING_BLOCK_UPDATE' }),
    failure('InvalidSignatureException', 403, { $metadata: { clockSkewCorrected: true } }),
    Object.assign(new Error('no answer from the name server'), { code: 'EAI_AGAIN' }),
    Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }),
  ]) {
    assert.deepEqual(await tried(error, 3), { calls: 4, succeeded: true }, error.name)
    assert.deepEqual(await tried(error, 1e6), { calls: SHORT_LIMITS.attempts, succeeded: false }, error.name)
  }
})

test('everything else fails at once', async () => {
  for (const error of [
    failure('ValidationException', 400, { Reason: 'INVALID_PARAMETER_VALUE' }),
    failure('InvalidSignatureException', 403),
    failure('AccessDeniedException', 403),
    failure('ServiceQuotaExceededException', 402),
    failure('ResourceNotFoundException', 404),
    new TypeError('a fault of ours'),
  ])
    assert.deepEqual(await tried(error, 1e6), { calls: 1, succeeded: false }, error.name)
})

test('a young snapshot may not exist for longer than any other fault may last; an old one may not', async () => {
  const missing = failure('ResourceNotFoundException', 404)
  assert.deepEqual(await tried(missing, 40, Date.now()), { calls: 41, succeeded: true })
  const old = Date.now() - SHORT_LIMITS.appearMs - 1
  assert.deepEqual(await tried(missing, 40, old), { calls: 1, succeeded: false })
})

test('a pause ends when it is told to', async () => {
  const stopping = new AbortController()
  const request = () => {
    setImmediate(() => stopping.abort(new Error('told to stop')))
    return Promise.reject(failure('ThrottlingException', 400))
  }
  const limits = { ...SHORT_LIMITS, firstPauseMs: 3_600_000, maxPauseMs: 3_600_000 }
  await assert.rejects(retryEbsRequest(request, { limits, signal: stopping.signal }), /abort/i)
})

test('what settles is looked at until it has; what does not is given up with a sentence', async () => {
  let looks = 0
  const look = () => Promise.resolve(++looks === 3 ? 'settled' : null)
  assert.equal(await waitUntilSettled('it', look, { limits: SHORT_LIMITS, signal }), 'settled')
  const limits = { ...SHORT_LIMITS, settleMs: -1 }
  await assert.rejects(
    waitUntilSettled('it', () => Promise.resolve(null), { limits, signal }),
    /^Error: it took longer than .* minutes; run this again to go on$/,
  )
})
