// One exported name has one meaning, tests are named after what they test, and folders stay readable.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import ts from 'typescript'
import { parsedSources, ROOT, sourceFiles, trackedFiles } from '../kit/source-tree.ts'

const MOST_FILES_WITHOUT_README = 10
const MOST_README_LINES = 20

test('an exported name is declared once in the whole tree', () => {
  const places = new Map<string, Set<string>>()
  for (const [file, source] of parsedSources) {
    for (const name of exportedNames(source)) {
      const known = places.get(name) ?? new Set()
      places.set(name, known.add(file))
    }
  }
  const shared = [...places].filter(([, files]) => files.size > 1)
  assert.deepEqual(
    shared.map(([name, files]) => `${name}: ${[...files].join(', ')}`),
    [],
  )
})

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

test(`a folder with more than ${MOST_FILES_WITHOUT_README} files has a README.md of at most ${MOST_README_LINES} lines`, () => {
  const counts = new Map<string, number>()
  for (const file of trackedFiles) {
    if (!/^(contract|platform|mailkit|server|images|infra|storm|scripts|input|test|docs)\//.test(file))
      continue
    if (/^(test\/(fixtures|dialogs|infra\/golden)|images\/system)\//.test(file)) continue
    counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1)
  }
  const large = [...counts].filter(([, files]) => files > MOST_FILES_WITHOUT_README).map(([folder]) => folder)
  // A mirror needs no page of its own: test/README.md explains all of them.
  const needing = large.filter((folder) => !/^test\/(?!kit|vm)/.test(folder))
  const problems = needing.flatMap((folder) => {
    const readme = `${folder}/README.md`
    if (!trackedFiles.includes(readme)) return [`${readme}: missing`]
    const lines = readFileSync(join(ROOT, readme), 'utf8').trimEnd().split('\n').length
    const isIndex = folder === 'docs/decisions'
    return lines > MOST_README_LINES && !isIndex ? [`${readme}: ${lines} lines`] : []
  })
  assert.deepEqual(problems, [])
})

function exportedNames(source: ts.SourceFile): string[] {
  return source.statements.flatMap((statement) => {
    const modifiers = ts.canHaveModifiers(statement) ? (ts.getModifiers(statement) ?? []) : []
    if (!modifiers.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) return []
    if (ts.isVariableStatement(statement))
      return statement.declarationList.declarations.flatMap(({ name }) =>
        ts.isIdentifier(name) ? [name.text] : [],
      )
    const { name } = statement as { name?: ts.Node }
    return name && ts.isIdentifier(name) ? [name.text] : []
  })
}
