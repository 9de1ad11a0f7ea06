// Line endings, smuggling and trace fields, as tables; and the normaliser compared with a simple model.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createNormaliser, headerLength, readTrace, receivedField } from '../../server/message.ts'

function normalise(pieces: string[]) {
  const normaliser = createNormaliser()
  const parts = pieces.map((piece) => normaliser.push(Buffer.from(piece, 'latin1')))
  const text = Buffer.concat([...parts, normaliser.end()]).toString('latin1')
  return { text, smuggling: normaliser.smuggling(), eightBit: normaliser.eightBit() }
}

const ENDINGS: [given: string, text: string, smuggling: boolean][] = [
  ['a\r\nb\r\n', 'a\r\nb\r\n', false],
  ['a\nb\n', 'a\r\nb\r\n', false],
  ['a\rb\r', 'a\r\nb\r\n', false],
  ['a\r\r\nb', 'a\r\n\r\nb', false],
  ['a\n\rb', 'a\r\n\r\nb', false],
  ['\n\n', '\r\n\r\n', false],
  ['a\r\n.\r\nb', 'a\r\n.\r\nb', false],
  ['.\r\nb', '.\r\nb', false],
  ['a\n.\r\nb', 'a\r\n.\r\nb', true],
  ['a\r\n.\nb', 'a\r\n.\r\nb', true],
  ['a\n.\nb', 'a\r\n.\r\nb', true],
  ['a\r.\rb', 'a\r\n.\r\nb', true],
  ['a\r\n.\rb', 'a\r\n.\r\nb', true],
  ['.\nb', '.\r\nb', true],
  ['a\n..\nb', 'a\r\n..\r\nb', false],
  ['a\n.b\n', 'a\r\n.b\r\n', false],
]

for (const [given, text, smuggling] of ENDINGS) {
  test(`${JSON.stringify(given)} becomes ${JSON.stringify(text)}${smuggling ? ', smuggling' : ''}`, () => {
    for (let cut = 0; cut <= given.length; cut++) {
      const { text: actual, smuggling: found } = normalise([given.slice(0, cut), given.slice(cut)])
      assert.equal(actual, text, `cut at ${cut}`)
      assert.equal(found, smuggling, `cut at ${cut}`)
    }
  })
}

test('any bytes in any chunks: the result equals a plain replacement of every line ending', () => {
  let state = 7
  const random = (below: number) => (state = (state * 48_271) % 2_147_483_647) % below
  for (let round = 0; round < 3_000; round++) {
    const pieces = Array.from({ length: 1 + random(4) }, () =>
      Array.from({ length: random(8) }, () => '\r\n.ab\xe9'[random(6)]).join(''),
    )
    const whole = pieces.join('')
    const { text, eightBit } = normalise(pieces)
    assert.equal(text, whole.replace(/\r\n|\r|\n/g, '\r\n'), JSON.stringify(pieces))
    assert.equal(eightBit, whole.includes('\xe9'))
  }
})

test('a message with CRLF line endings is not copied', () => {
  const chunk = Buffer.from('a\r\nb\r\n')
  assert.equal(createNormaliser().push(chunk), chunk)
})

test('the trace fields: all hops, our own hops, folded fields, and nothing from the body', () => {
  const message = Buffer.from(
    [
      'Received: from a by mx1.example.net with ESMTP',
      'Received: from b',
      '\tby MX1.EXAMPLE.NET with ESMTP id x',
      'received : from c by mx1.example.net.evil.example',
      'Received: from mx1.example.net by other.example',
      'Delivered-To: Info@Example.org',
      'delivered-to:  two@example.org ',
      'Subject: by mx1.example.net',
      '',
      'Received: in the body',
      'Delivered-To: body@example.org',
    ].join('\r\n'),
  )
  const { received, receivedHere, deliveredTo } = readTrace(message, 'mx1.example.net', 10_000)
  assert.deepEqual(
    { received, receivedHere, deliveredTo },
    {
      received: 4,
      receivedHere: 2,
      deliveredTo: ['info@example.org', 'two@example.org'],
    },
  )
})

test('a header section beyond the limit is measured and not read', () => {
  const trace = readTrace(
    Buffer.from(`Received: x\r\nX: ${'y'.repeat(2_000)}\r\n\r\nbody`),
    'h.example',
    1_000,
  )
  assert.equal(trace.headerBytes, 2_018)
  assert.equal(trace.received, 0)
})

test('the length of the header section', () => {
  assert.equal(headerLength(Buffer.from('A: b\r\n\r\nbody')), 6)
  assert.equal(headerLength(Buffer.from('\r\nbody')), 0)
  assert.equal(headerLength(Buffer.from('A: b\r\n')), 6)
  assert.equal(headerLength(Buffer.from('')), 0)
})

test('the Received field: the client’s HELO name cannot add a line', () => {
  const field = receivedField({
    helo: 'evil\r\nX-Injected: 1 (([[',
    clientAddress: '2001:db8::1',
    hostname: 'mx1.example.net',
    protocol: 'ESMTPS',
    traceId: 't1.1',
    recipient: null,
    atMs: Date.UTC(2026, 0, 2, 3, 4, 5),
  }).toString()
  assert.equal(
    field,
    'Received: from evil??X-Injected:?1???[[ ([IPv6:2001:db8::1])\r\n' +
      '\tby mx1.example.net with ESMTPS id t1.1;\r\n' +
      '\tFri, 02 Jan 2026 03:04:05 +0000\r\n',
  )
})
