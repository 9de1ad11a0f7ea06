// The console keeps cleaned lines with their times, and a limited number of them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createConsole, findEvent } from '../../../../images/boot/qemu/console.ts'

test('lines come out whole, clean and with the moment they ended', () => {
  let now = 1
  const console = createConsole(() => now)
  assert.ok(console.silent())
  console.push('\x1b[2J\x1b[01;01HBdsDxe: load')
  assert.ok(!console.silent())
  now = 2
  console.push('ing Boot0001\r\n\r\n[\x1b[0;32m  OK  \x1b[0m] Started\r\r\nhalf')
  assert.deepEqual(console.lines(), [
    { atSeconds: 2, text: 'BdsDxe: loading Boot0001' },
    { atSeconds: 2, text: '[  OK  ] Started' },
  ])
  assert.deepEqual(console.tail(2), ['[  OK  ] Started', 'half'])
})

test('a guest that prints without end, or without line ends, is kept within bounds', () => {
  const console = createConsole(() => 0)
  for (let i = 0; i < 6_000; i++) console.push(`line ${i}\n`)
  for (let i = 0; i < 100; i++) console.push('x'.repeat(10_000))
  assert.equal(console.lines().length, 5_000)
  assert.deepEqual(console.lines().at(-1)?.text, 'line 5999')
  assert.ok((console.tail(1)[0]?.length ?? 0) <= 4_000)
  console.push('\n')
  assert.equal(console.lines().at(-1)?.text.length, 2_000)
})

test('each line is handed on as it comes', () => {
  const seen: string[] = []
  const console = createConsole(
    () => 0,
    ({ text }) => seen.push(text),
  )
  console.push('one\ntw')
  console.push('o\n')
  assert.deepEqual(seen, ['one', 'two'])
})

test('an event of the server is found among other lines, with or without a prefix', () => {
  const line = (text: string, atSeconds = 0) => ({ atSeconds, text })
  const lines = [
    line('{"event":'),
    line('{"broken'),
    line('[    9.1] node[211]: {"event":"listening","smtp":25}', 9.5),
    line('{"event":"listening","smtp":26}', 12),
  ]
  assert.deepEqual(findEvent(lines, 'listening'), {
    atSeconds: 9.5,
    fields: { event: 'listening', smtp: 25 },
  })
  assert.equal(findEvent(lines, 'drained'), null)
})
