// Tests are named after what they test.
import assert from 'node:assert/strict'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { sourceFiles, trackedFiles } from '../kit/source-tree.ts'

/**
 * Tests about the tree as a whole, and those that need a booted machine, have folders of their own (test/README.md).
 * Every other test is `test/SOURCE[.ASPECT][.NEEDS][.full].test.ts`.
 */
const OWN_FOLDERS = /^test\/(tidy|docs|vm|mutants)\/|^test\/(tidy|mutants)\.test\.ts$/

test('a test is named after the source that it tests', () => {
  const stray = trackedFiles
    .filter((file) => file.endsWith('.test.ts') && !OWN_FOLDERS.test(file))
    .filter((file) => {
      const folder = dirname(file).slice('test/'.length)
      const name = file.split('/').at(-1)?.split('.')[0]
      const sources = ['ts', 'mjs'].map((ending) => `${folder}/${name}.${ending}`)
      return !sources.some((source) => trackedFiles.includes(source))
    })
  assert.deepEqual(stray, [])
})

test('outside test/kit, test/vm and test/mutants a file in test/ is a test', () => {
  const stray = sourceFiles.filter(
    (file) => /^test\/(?!kit\/|vm\/)/.test(file) && !file.endsWith('.test.ts') && !file.endsWith('.d.ts'),
  )
  assert.deepEqual(stray, [])
})
