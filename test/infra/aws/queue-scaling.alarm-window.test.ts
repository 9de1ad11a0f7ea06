// How far an alarm looks back, compared with CloudWatch's limits.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alarmWindow } from '../../../infra/aws/queue-scaling.ts'

const table: [name: string, slots: number, window: ReturnType<typeof alarmWindow>][] = [
  ['one slot', 1, { period: 10, evaluationPeriods: 1 }],
  ['five minutes', 30, { period: 10, evaluationPeriods: 30 }],
  ['three hours, the retention of fine data', 1080, { period: 10, evaluationPeriods: 1080 }],
  ['beyond three hours: whole minutes, rounded up', 1081, { period: 60, evaluationPeriods: 181 }],
  ['a day', 8640, { period: 60, evaluationPeriods: 1440 }],
  ['longer than CloudWatch looks back', 8641, undefined],
]
for (const [name, slots, window] of table) {
  test(`alarm window: ${name}`, () => assert.deepEqual(alarmWindow(slots), window))
}
