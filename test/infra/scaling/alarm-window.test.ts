// How far an alarm looks back, as a table: CloudWatch's bounds.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alarmWindow } from '../../../infra/scaling/alarm-window.ts'

const table: [name: string, slots: number, window: ReturnType<typeof alarmWindow>][] = [
  ['one slot', 1, { period: 10, evaluationPeriods: 1 }],
  ['five minutes', 30, { period: 10, evaluationPeriods: 30 }],
  ['three hours, as long as fine data is kept', 1080, { period: 10, evaluationPeriods: 1080 }],
  ['beyond: whole minutes, never fewer than asked for', 1081, { period: 60, evaluationPeriods: 181 }],
  ['a day', 8640, { period: 60, evaluationPeriods: 1440 }],
  ['longer than CloudWatch looks back', 8641, undefined],
]
for (const [name, slots, window] of table) {
  test(`alarm window: ${name}`, () => assert.deepEqual(alarmWindow(slots), window))
}
