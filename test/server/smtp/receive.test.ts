// The memory of messages that are being received: close to their bytes, and counted until they are stored.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { createMessageBuffer, receiveMessage } from '../../../server/smtp/receive.ts'
import { refusals } from '../../../server/smtp/refusal.ts'

const LIMITS = { messageBytes: 100_000, bufferedBytes: 150_000, nulOctets: 'refuse' as const }

const load = () => ({ stats: null, acceptedSince: 0, acceptedBytesSince: 0, bufferedBytes: 0 })

const chunked = (text: string, chars: number) =>
  Readable.from(
    Array.from({ length: Math.ceil(text.length / chars) }, (_, n) =>
      Buffer.from(text.slice(n * chars, (n + 1) * chars)),
    ),
  ) as AsyncIterable<Buffer>

test('chunks of any size give the same bytes, and take at most twice their memory', async () => {
  const text = Array.from({ length: 3_000 }, (_, n) => `line ${n}\r\n`).join('')
  for (const chars of [1, 7, 4_096, 4_097, 1_000_000]) {
    const counted = load()
    const blocks = createMessageBuffer(counted)
    assert.deepEqual(await receiveMessage(chunked(text, chars), blocks, counted, LIMITS), { eightBit: false })
    assert.equal(blocks.sizeBytes(), text.length)
    assert.ok(counted.bufferedBytes >= text.length && counted.bufferedBytes <= 2 * text.length)
    assert.equal(blocks.join([Buffer.from('before ')]).toString(), `before ${text}`)
    assert.ok(counted.bufferedBytes >= text.length, 'counted until it is let go')
    blocks.release()
    assert.equal(counted.bufferedBytes, 0)
    blocks.release()
    assert.equal(counted.bufferedBytes, 0)
  }
})

test('a message beyond a limit is read to its end and holds no memory', async () => {
  const counted = load()
  const blocks = createMessageBuffer(counted)
  assert.equal(
    await receiveMessage(chunked('x'.repeat(100_001), 1_000), blocks, counted, LIMITS),
    refusals.tooLarge,
  )
  assert.equal(counted.bufferedBytes, 0)
  const other = createMessageBuffer(counted)
  other.add(Buffer.alloc(90_000))
  assert.equal(
    await receiveMessage(chunked('x'.repeat(90_000), 1_000), blocks, counted, LIMITS),
    refusals.memoryFull,
  )
  other.release()
  assert.equal(counted.bufferedBytes, 0)
})

test('a message with a line of a single dot beside a bare LF is refused as smuggling', async () => {
  const counted = load()
  const text = 'Subject: x\r\n\r\nx\n.\nMAIL FROM:<a@b.example>\r\n'
  const result = await receiveMessage(chunked(text, 5), createMessageBuffer(counted), counted, LIMITS)
  assert.equal(result, refusals.smuggling)
})

test('a NUL octet is refused, or stripped if the configuration says so', async () => {
  const taken = async (nulOctets: 'refuse' | 'strip') => {
    const counted = load()
    const blocks = createMessageBuffer(counted)
    const limits = { messageBytes: 100_000, bufferedBytes: 150_000, nulOctets }
    const result = await receiveMessage(chunked('Subject: x\r\n\r\na\0b\r\n', 5), blocks, counted, limits)
    return { result, text: blocks.join([]).toString() }
  }
  assert.equal((await taken('refuse')).result, refusals.nulOctet)
  assert.deepEqual(await taken('strip'), {
    result: { eightBit: false },
    text: 'Subject: x\r\n\r\nab\r\n',
  })
})
