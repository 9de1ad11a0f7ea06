// The group: which instance ends, which is replaced, and how long failing launches back off.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { launchBackOffMs, createGroup } from '../../../infra/local/group.ts'
import type { Instance, InstanceState, InstanceView } from '../../../infra/local/instance.ts'

/** Fake instances without processes. The test sets their states. */
function stage() {
  const actors = new Map<string, { become: (state: InstanceState) => void; drained: string[] }>()
  const launch = (id: string, onState: (view: InstanceView) => void): Instance => {
    const view: InstanceView = {
      id,
      state: 'Pending',
      pid: null,
      launchedAtMs: 0,
      inServiceAtMs: null,
      terminatingAtMs: null,
      terminatedAtMs: null,
      exitCode: null,
      exitSignal: null,
      cause: null,
    }
    const drained: string[] = []
    const become = (state: InstanceState) => {
      view.state = state
      if (state === 'InService') view.inServiceAtMs = 0
      if (state === 'Terminating') view.terminatingAtMs = 0
      if (state === 'Terminated') view.terminatedAtMs = 0
      onState({ ...view })
    }
    actors.set(id, { become, drained })
    return {
      view: () => ({ ...view }),
      adminSocket: '',
      logFile: '',
      drain: (cause) => {
        drained.push(cause)
        become('Terminating')
      },
      kill: () => become('Terminated'),
      terminated: Promise.resolve({ ...view }),
    }
  }
  const actor = (id: string) => actors.get(id) ?? assert.fail(`no ${id}`)
  return { launch, actor, ids: () => [...actors.keys()] }
}

test('the group launches missing instances and drains the newest first', () => {
  const { launch, actor, ids } = stage()
  const group = createGroup({ launch, onInstance: () => {} })
  group.setDesired(3)
  assert.deepEqual(ids(), ['i-0001', 'i-0002', 'i-0003'])
  for (const id of ids()) actor(id).become('InService')
  group.setDesired(2)
  assert.deepEqual(
    ids().map((id) => actor(id).drained),
    [[], [], ['scale-in']],
  )
  group.setDesired(1)
  assert.deepEqual(
    ids().map((id) => actor(id).drained),
    [[], ['scale-in'], ['scale-in']],
  )
})

test('a pending instance ends before one in service', () => {
  const { launch, actor } = stage()
  const group = createGroup({ launch, onInstance: () => {} })
  group.setDesired(2)
  actor('i-0002').become('InService')
  group.setDesired(1)
  assert.deepEqual([actor('i-0001').drained, actor('i-0002').drained], [['scale-in'], []])
})

test('a draining instance does not count, so scaling out again launches a new one', () => {
  const { launch, actor, ids } = stage()
  const group = createGroup({ launch, onInstance: () => {} })
  group.setDesired(2)
  for (const id of ids()) actor(id).become('InService')
  group.setDesired(1)
  group.setDesired(2)
  assert.deepEqual(ids(), ['i-0001', 'i-0002', 'i-0003'])
})

test('a crashed instance is replaced, a drained one is not', () => {
  const { launch, actor, ids } = stage()
  const group = createGroup({ launch, onInstance: () => {} })
  group.setDesired(1)
  actor('i-0001').become('InService')
  actor('i-0001').become('Terminated')
  assert.deepEqual(ids(), ['i-0001', 'i-0002'])
  group.setDesired(0)
  actor('i-0002').become('Terminated')
  assert.deepEqual(ids(), ['i-0001', 'i-0002'])
})

test('launches that fail at once back off and do not multiply', async () => {
  const seen: InstanceView[] = []
  const launch = (): Instance => {
    throw new Error('no space left')
  }
  const group = createGroup({ launch, onInstance: (view) => seen.push(view) })
  group.setDesired(5)
  assert.equal(seen.length, 2)
  assert.match(seen[0]?.cause ?? '', /no space left/)
  await group.stop()
})

test('back-off: 0 s after the first failure, then 0.5 s, doubling to 30 s, or to 2 s with none in service', () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4, 7, 8, 9, 50].map((failures) => launchBackOffMs(failures, true)),
    [0, 0, 500, 1000, 2000, 16_000, 30_000, 30_000, 30_000],
  )
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 50].map((failures) => launchBackOffMs(failures, false)),
    [0, 0, 500, 1000, 2000, 2000, 2000],
  )
})

test('instances that were in service and are killed together are replaced at once', () => {
  const { launch, actor, ids } = stage()
  const group = createGroup({ launch, onInstance: () => {} })
  group.setDesired(5)
  const serving = ids()
  for (const id of serving) actor(id).become('InService')
  for (const id of serving) actor(id).become('Terminated')
  assert.equal(ids().length, 10)
})

test('a killed instance does not drain, and its replacement is launched at once', () => {
  const { launch, actor, ids } = stage()
  const group = createGroup({ launch, onInstance: () => {} })
  group.setDesired(1)
  actor('i-0001').become('InService')
  group.kill('i-0001', 'no answer')
  assert.deepEqual(actor('i-0001').drained, [])
  assert.deepEqual(ids(), ['i-0001', 'i-0002'])
})

test('a stopped group launches nothing', async () => {
  const { launch, actor, ids } = stage()
  const group = createGroup({ launch, onInstance: () => {} })
  group.setDesired(1)
  await group.stop()
  actor('i-0001').become('Terminated')
  group.setDesired(4)
  assert.deepEqual(ids(), ['i-0001'])
})
