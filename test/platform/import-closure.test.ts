// The dependencies of a module: value imports and named data files, through any number of files.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import { closureDigest, importClosure, importsOf } from '../../platform/import-closure.ts'

/** Writes a folder of files, name → text. */
function folderWith(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-closure-'))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return folder
}

for (const [statement, expected] of [
  ["import a from './a.ts'", './a.ts'],
  ["import './a.ts'", './a.ts'],
  ["import * as a from '../a.ts'", '../a.ts'],
  ["import {\n  a,\n  type B,\n} from './a.ts'", './a.ts'],
  ["import a, { type B } from './a.ts'", './a.ts'],
  ["export { a } from './a.ts'", './a.ts'],
  ["export * from './a.ts'", './a.ts'],
  ["  const { a } = await import('./a.ts')", './a.ts'],
  ["import type { A } from './a.ts'", undefined],
  ["export type { A } from './a.ts'", undefined],
  ["import v from 'valibot'", undefined],
  ["// As in import { a } from './a.ts'", undefined],
] as const) {
  test(`${JSON.stringify(statement)} imports ${expected ?? 'nothing'}`, () => {
    assert.deepEqual(importsOf(`${statement}\n`), expected === undefined ? [] : [expected])
  })
}

test('the closure follows imports, circles included, and takes in named files and folders', () => {
  const folder = folderWith({
    'stage.ts': "import './one.ts'\nconst DATA = join(import.meta.dirname, 'data')\n",
    'one.ts': "import './two.ts'\nconst ROOT = join(import.meta.dirname, '..')\n",
    'two.ts': "import './one.ts'\nconst LIST = join(import.meta.dirname, 'list.txt')\n",
    'list.txt': '',
    'data/a/b': '',
    'other.ts': '',
  })
  const found = importClosure(join(folder, 'stage.ts')).map((file) => relative(folder, file))
  assert.deepEqual(found, ['data/a/b', 'list.txt', 'one.ts', 'stage.ts', 'two.ts'])
})

test('the digest does not depend on where the folder is', () => {
  const files = { 'stage.ts': "import './one.ts'\n", 'one.ts': '' }
  const [a, b] = [folderWith(files), folderWith(files)]
  assert.equal(closureDigest(join(a, 'stage.ts')), closureDigest(join(b, 'stage.ts')))
})
