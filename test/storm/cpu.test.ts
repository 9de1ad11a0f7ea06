// The shares of the processors, computed from the texts of /proc.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { idleShare, parseCpuTicks, parseProcessTicks, readCpu, usedShare } from '../../storm/cpu.ts'

test('the idle share includes the time of waiting for the disk', () => {
  const before = parseCpuTicks('cpu  100 0 50 800 50 0 0 0 20 0\ncpu0 1 2 3 4\n')
  assert.deepEqual(before, { idle: 850, total: 1000 })
  const after = parseCpuTicks('cpu  130 0 70 830 70 0 0 0 25 0\n')
  assert.equal(idleShare(before, after), 0.5)
  assert.equal(idleShare(before, before), null)
})

test('the used share counts all ticks of a process that started between the readings', () => {
  assert.equal(parseProcessTicks('7 (a) b) (c) S 1 7 7 0 -1 4194560 100 0 0 0 120 30 9 9 20 0 11 0'), 150)
  const from = {
    machine: { idle: 0, total: 0 },
    processes: new Map([
      [1, 100],
      [2, 5],
    ]),
  }
  const to = {
    machine: { idle: 0, total: 200 },
    processes: new Map([
      [1, 130],
      [3, 20],
    ]),
  }
  assert.equal(usedShare(from, to), 0.25)
  assert.equal(usedShare(from, from), null)
  assert.ok((readCpu([process.pid, 2 ** 30]).processes.get(process.pid) ?? 0) > 0)
})
