// `mailfleet doctor` on this machine, and on one without the programs that it needs.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'

const launcher = join(import.meta.dirname, '../../../scripts/run.mjs')

const doctor = (env: NodeJS.ProcessEnv) =>
  spawnSync(process.execPath, [launcher, 'doctor', '--quick', '--json'], { encoding: 'utf8', env })

test('a machine that runs these tests has no problem', () => {
  const { status, stdout, stderr } = doctor(process.env)
  const results = JSON.parse(stdout) as { name: string; status: string }[]
  assert.deepEqual(
    results.filter((result) => result.status === 'problem'),
    [],
  )
  assert.equal(status, 0, stderr)
  assert.ok(results.length >= 8)
})

test('a problem is exit 1', () => {
  const { status, stdout } = doctor({ ...process.env, PATH: '/nonexistent' })
  assert.equal(status, 1)
  assert.match(stdout, /apt-get install/)
})

test('start stops before the bake when a check fails, and prints what mends it', () => {
  const env = { ...process.env, PATH: '/nonexistent' }
  const { status, stdout, stderr } = spawnSync(process.execPath, [launcher, 'start'], {
    encoding: 'utf8',
    env,
  })
  assert.equal(status, 1)
  assert.match(stderr, /apt-get install/)
  assert.doesNotMatch(stdout, /^Bake$/m)
})
