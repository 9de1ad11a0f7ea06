// The mutants of `npm run mutate` fit the sources, and every invariant and every limit has one.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import ts from 'typescript'
import { readMutants } from '../scripts/mutate/mutants.ts'
import { checkConfig } from '../server/config/schema.ts'

const root = join(import.meta.dirname, '..')
const mutants = readMutants(root)
const guarded = new Set(mutants.map(({ guards }) => guards))

test('every mutant fits: its text occurs once, the result parses, and its tests exist', () => {
  assert.ok(mutants.length >= 60, `${mutants.length} mutants`)
})

test('the test that a mutant must fail has that title', () => {
  const missing = mutants.filter(
    ({ fails, tests }) => fails !== undefined && !tests.some((file) => hasTitle(file, fails)),
  )
  assert.deepEqual(
    missing.map(({ fails = '', tests }) => `${tests.join(', ')}: ${fails}`),
    [],
  )
})

test('a retitled test is noticed, also one whose title is a template', () => {
  const file = 'test/server/smtp/admission.test.ts'
  assert.ok(hasTitle(file, 'a client is an IPv4 address or an IPv6 /64'))
  assert.ok(!hasTitle(file, 'a client is an address'))
  assert.ok(hasTitle(file, 'a message when something: 451 backlog'))
  assert.ok(!hasTitle(file, 'a message if something: 451 backlog'))
})

test('a mutant guards an invariant, a limit or a rule', () => {
  const others = [...guarded].filter((guards) => !/^(invariant [1-8]|(limit|rule) \S.*)$/.test(guards))
  assert.deepEqual(others, [])
})

test('every invariant has a mutant and an existing test file', () => {
  const text = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').split('## Invariants')[1] ?? ''
  const invariants = text.split(/^(?=\d+\. )/m).slice(1)
  assert.equal(invariants.length, 8)
  for (const invariant of invariants) {
    const number = invariant.split('.')[0] ?? ''
    assert.ok(guarded.has(`invariant ${number}`), `no mutant guards invariant ${number}`)
    const named = [...invariant.matchAll(/`([\w/.-]+\.test\.ts)`/g)].map(([, file = '']) => file)
    assert.ok(named.length > 0, `invariant ${number} names no test`)
    for (const file of named) readFileSync(join(root, 'test', file))
  }
})

test('every limit of the server has a mutant', () => {
  const { limits } = checkConfig('config.yaml', {
    hostname: 'mx1.example.net',
    postmaster: 'ops@mailbox.example',
    listen: { smtp: { port: 0 }, admin: { port: 0 } },
    queue: { path: '/nowhere' },
    routes: { file: '/nowhere' },
    srs: { domain: 'srs.example.com', secrets: ['x'.repeat(32)] },
  })
  const without = Object.keys(limits).filter((name) => !guarded.has(`limit ${name}`))
  assert.deepEqual(without, [])
})

/** Whether a test of the file can have this title. A title that is no literal and no template can be any. */
function hasTitle(file: string, title: string): boolean {
  const text = readFileSync(join(root, file), 'utf8')
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  let found = false
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && /^(test|it)$/.test(node.expression.getText(source))) {
      const [name] = node.arguments
      if (name !== undefined) found ||= titlePattern(name).test(title)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

function titlePattern(name: ts.Expression): RegExp {
  const escape = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  if (ts.isStringLiteralLike(name)) return new RegExp(`^${escape(name.text)}$`)
  if (!ts.isTemplateExpression(name)) return /^/
  const parts = [name.head, ...name.templateSpans.map(({ literal }) => literal)]
  return new RegExp(`^${parts.map(({ text }) => escape(text)).join('.*')}$`)
}
