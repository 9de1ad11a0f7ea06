// Which slots an invocation works, as a table.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { slotOf, slotsUntil } from '../../../infra/pulse/slots.ts'

const minute = Date.parse('2026-03-01T12:00:00Z')
const at = (seconds: number) => minute + seconds * 1000

const table: [name: string, nowS: number, deadlineS: number, slotsS: number[]][] = [
  ['on the minute', 0, 70, [0, 10, 20, 30, 40, 50, 60]],
  ['some seconds late', 3.4, 73.4, [0, 10, 20, 30, 40, 50, 60]],
  ['at the end of a slot', 9.9, 79.9, [0, 10, 20, 30, 40, 50, 60]],
  ['time for one slot', 5, 15, [0]],
  ['no time left', 5, 14, []],
]
for (const [name, now, deadline, slots] of table) {
  test(`slots: ${name}`, () => assert.deepEqual(slotsUntil(at(now), at(deadline)), slots.map(at)))
}

test('slots are absolute: two invocations that overlap agree on them', () => {
  const first = slotsUntil(at(3), at(73))
  const second = slotsUntil(at(66), at(136))
  assert.deepEqual(
    first.filter((slot) => second.includes(slot)),
    [at(60)],
  )
  assert.equal(slotOf(at(66)), at(60))
})

test('a minute later the next invocation follows without a gap, even one 9 s late', () => {
  const first = slotsUntil(at(3), at(73))
  const late = slotsUntil(at(72), at(142))
  assert.equal((late[0] ?? 0) - (first.at(-1) ?? 0), 10_000)
})
