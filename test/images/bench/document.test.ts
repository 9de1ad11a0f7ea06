// A benchmark's section of the document.
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { documentSection, withSection } from '../../../images/bench/document.ts'

test('a section takes the place of its last version, and the others stay', () => {
  const before = '# Title\n\nWords.\n\n## Bake\n\nold\n\n### Below\n\nolder\n\n## Boot\n\nboot\n'
  assert.equal(
    withSection(before, 'Bake', 'new\n'),
    '# Title\n\nWords.\n\n## Bake\n\nnew\n\n## Boot\n\nboot\n',
  )
  assert.equal(withSection(before, 'Start', 'fast'), `${before}\n## Start\n\nfast\n`)
})

test('a document that is not there yet is begun, and nothing else is left in its folder', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-document-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'benchmarks.md')
  documentSection(file, 'Boot', 'one')
  documentSection(file, 'Boot', 'two')
  assert.match(readFileSync(file, 'utf8'), /^# Benchmarks\n[^]*\n## Boot\n\ntwo\n$/)
  assert.deepEqual(readdirSync(folder), ['benchmarks.md'])
})
