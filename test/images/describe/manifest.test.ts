// A manifest is read strictly.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readManifest } from '../../../images/describe/manifest.ts'
import { InputError } from '../../../input/problems.ts'
import { folderFor } from '../../kit/queue/embedded-harness.ts'
import { manifestOf } from '../../kit/images/fake-manifests.ts'

test('a valid manifest is read, and the error lists every invalid key', (t) => {
  const folder = folderFor(t)
  const file = join(folder, 'manifest.json')
  const write = (content: unknown) => writeFileSync(file, JSON.stringify(content))
  write(manifestOf())
  assert.deepEqual(readManifest(folder), manifestOf())
  write({ ...manifestOf(), digest: 'no digest', locked: 'yes', extra: 1 })
  assert.throws(
    () => readManifest(folder),
    (error) =>
      error instanceof InputError &&
      ['digest', 'locked', 'extra'].every((key) => error.problems.some((problem) => problem.key === key)),
  )
})

test('an earlier format, a truncated file and a missing file are one problem each', (t) => {
  const folder = folderFor(t)
  const file = join(folder, 'manifest.json')
  assert.throws(() => readManifest(folder), /manifest\.json: 1 problem\n.*ENOENT/)
  writeFileSync(file, JSON.stringify({ format: 1, digest: 'x' }))
  assert.throws(
    () => readManifest(folder),
    /1 problem\n {2}format: expected 3, .*bake the image again, found 1/,
  )
  writeFileSync(file, JSON.stringify(manifestOf()).slice(0, 200))
  assert.throws(() => readManifest(folder), InputError)
})
