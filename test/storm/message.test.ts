// The messages of a storm are reproducible and follow RFC 5322. The sink finds their id again.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../platform/seeded-random.ts'
import { stormIdOf, stormMessage } from '../../storm/message.ts'

test('the same seed gives the same messages, each with its own id and short CRLF lines', () => {
  const make = () => {
    const random = seededRandom(7)
    return [1, 2, 3].map((serial) => stormMessage(serial, random, { messageBytes: [2048, 8192] }))
  }
  const [first, second] = [make(), make()]
  assert.deepEqual(
    first.map(({ id, body }) => [id, body.length]),
    second.map(({ id, body }) => [id, body.length]),
  )
  assert.equal(new Set(first.map(({ id }) => id)).size, 3)
  for (const { id, body } of first) {
    assert.equal(stormIdOf(body), id)
    assert.ok(body.length >= 2048 && body.length < 8192 + 80)
    for (const line of body.toString('latin1').split('\r\n'))
      assert.ok(line.length <= 78 && !line.includes('\n'))
  }
  assert.equal(stormIdOf(Buffer.from('Subject: other\r\n\r\nX-Storm-Id: in the body\r\n')), null)
})
