// The steps of a command: each is timed, also a failed one, and the slowest is named.
import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { runSteps, slowestStep, type StepTime } from '../../scripts/steps.ts'

test('every step that started has its time, also a failed one', async () => {
  const took: StepTime[] = []
  const steps = [
    { title: 'Bake', run: () => Promise.resolve('baked') },
    { title: 'Boot test', run: () => Promise.reject(new Error('it hangs')) },
    { title: 'Report', run: () => Promise.resolve('written') },
  ]
  const out = new PassThrough() as unknown as NodeJS.WriteStream
  await assert.rejects(runSteps(steps, { out, signal: new AbortController().signal, took }), /it hangs/)
  assert.deepEqual(
    took.map(({ title }) => title),
    ['Bake', 'Boot test'],
  )
})

test('the slowest step is named, with its time and the total', () => {
  const took = [
    { title: 'Bake', seconds: 12.2 },
    { title: 'Boot test', seconds: 120.4 },
  ]
  assert.equal(slowestStep(took), 'slowest step: Boot test, 120 s of 133 s\n')
  assert.equal(slowestStep([]), '')
})
