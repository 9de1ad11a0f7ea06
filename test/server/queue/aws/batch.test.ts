// Batch calls: how messages are split, and the result of each.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchesOf, inBatches } from '../../../../server/queue/aws/batch.ts'

const itself = (bytes: number) => bytes

test('a batch has at most ten messages and 256 KiB, and a larger message gets its own', () => {
  assert.deepEqual(batchesOf([], itself), [])
  assert.deepEqual(
    batchesOf(Array<number>(23).fill(1), itself).map((batch) => batch.length),
    [10, 10, 3],
  )
  assert.deepEqual(batchesOf([100_000, 100_000, 100_000, 1_000_000, 5], itself), [
    [100_000, 100_000],
    [100_000],
    [1_000_000],
    [5],
  ])
})

test('an error of one message is its own, and an error of the call applies to all its messages', async () => {
  const items = Array.from({ length: 12 }, (_item, index) => index)
  const errors = await inBatches(
    items,
    () => 1,
    (batch) => {
      if (batch[0]?.item === 10) return Promise.reject(new Error('the call failed'))
      return Promise.resolve({
        Failed: [{ Id: batch[3]?.id, SenderFault: false, Code: 'InternalError', Message: 'not this one' }],
      })
    },
  )
  assert.deepEqual(
    errors.map((error) => error?.message),
    [
      ...items.slice(0, 10).map((item) => (item === 3 ? 'not this one' : undefined)),
      'the call failed',
      'the call failed',
    ],
  )
  assert.equal(errors[3]?.name, 'InternalError')
})
