// Which slots an invocation works, as a table.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { INVOCATION_MS, SLOT_MS, slotOf, slotsUntil } from '../../contract/pulse-slots.ts'

const minute = Date.parse('2026-03-01T12:00:00Z')
const at = (seconds: number) => minute + seconds * 1000

const sixty = [0, 10, 20, 30, 40, 50, 60]
const table: [name: string, nowS: number, deadlineS: number, slotsS: number[]][] = [
  ['on the minute', 0, 70, sixty],
  ['some seconds late', 3.4, 73.4, sixty],
  ['at the end of a slot', 9.9, 79.9, sixty],
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

test('no start of the schedule leaves a gap: each is up to 60 s late, and Lambda begins up to 9 s later', () => {
  for (let late = 0; late < 60; late += 1)
    for (let nextLate = 0; nextLate < 69; nextLate += 1) {
      const slots = slotsUntil(at(late), at(late) + INVOCATION_MS)
      const next = slotsUntil(at(60 + nextLate), at(60 + nextLate) + INVOCATION_MS)
      assert.ok((slots.at(-1) ?? 0) + SLOT_MS >= (next[0] ?? Infinity), `${late} s, then ${nextLate} s late`)
    }
})
