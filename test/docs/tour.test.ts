// docs/tour.md against the sources. In a numbered step, a code span that is a single identifier must be declared in a
// file which the same step links: as a function, class, type, constant or method. Fails by naming step and identifier.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { test } from 'node:test'
import ts from 'typescript'
import { parsedSources, ROOT } from '../kit/source-tree.ts'

const page = readFileSync(join(ROOT, 'docs/tour.md'), 'utf8')

/** The numbered items with all their lines. */
const steps = page.split(/^(?=\d+\. |#)/m).filter((part) => /^\d+\. /.test(part))

const filesOf = (step: string) =>
  [...step.matchAll(/\]\(([^)#\s]+)\)/g)].map(([, target = '']) => normalize(join('docs', target)))

const namesIn = (step: string) => [...step.matchAll(/`([A-Za-z]\w*)`/g)].map(([, name = '']) => name)

/** What a file declares at its top level, and the members of its classes. */
function declaredIn(file: string): string[] {
  const statements = [...(parsedSources.get(file)?.statements ?? [])]
  return statements.flatMap((statement) => {
    const declared = ts.isVariableStatement(statement)
      ? statement.declarationList.declarations.map(({ name }) => name.getText())
      : 'name' in statement
        ? [(statement.name as ts.Identifier).text]
        : []
    const members = ts.isClassDeclaration(statement) ? statement.members : []
    return [...declared, ...members.map((member) => member.name?.getText() ?? '')]
  })
}

test('the tour has two ways of several steps, and each step links a file', () => {
  assert.ok(steps.length >= 20, `${steps.length} steps`)
  for (const step of steps) assert.notDeepEqual(filesOf(step), [], step)
})

test('each name in a step is declared in a file that the step links', () => {
  const named = steps.flatMap((step) => namesIn(step).map((name) => ({ step, name })))
  assert.ok(named.length > 40, `${named.length} names`)
  const wrong = named.filter(
    ({ step, name }) => !filesOf(step).some((file) => declaredIn(file).includes(name)),
  )
  assert.deepEqual(
    wrong.map(({ step, name }) => `${name}, in: ${step.split('\n')[0]}`),
    [],
  )
})
