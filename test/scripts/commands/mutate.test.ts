// `mailfleet mutate` on a tree of two small files: killed mutants, mutants that do not fit, and a stop half-way.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'

const SOURCE = `export const isFull = (count: number, bound: number): boolean => count >= bound\n`
const TEST = `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFull } from '../bound.ts'
test('full at the bound', () => assert.equal(isFull(2, 2), true))
test('room below it', () => assert.equal(isFull(1, 2), false))
`
/** The command's function, as a process of its own: the tests that it runs must not be part of this test. */
const PROGRAM = `
const { mutate } = await import(${JSON.stringify(join(import.meta.dirname, '../../../scripts/commands/mutate.ts'))})
const stop = new AbortController()
process.on('SIGINT', () => stop.abort())
const root = process.argv[2]
const options = { root, reportsDir: root + '/reports', only: process.argv.slice(3), signal: stop.signal }
process.exitCode = await mutate(options).catch((error) => (console.error(error.message), 2))
process.exit()
`

type Mutant = { breaks: string; replace: string; with: string; tests?: string[]; fails?: string }

/** A tree with these mutants of its one source file. */
function treeWith(t: TestContext, mutants: Mutant[], testText = TEST) {
  const folder = mkdtempSync(join(tmpdir(), 'mutate-test-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const [root, temporary] = [join(folder, 'tree'), join(folder, 'tmp')]
  mkdirSync(join(root, 'test/mutants'), { recursive: true })
  mkdirSync(temporary)
  writeFileSync(join(root, 'bound.ts'), SOURCE)
  writeFileSync(join(root, 'test/bound.test.ts'), testText)
  const common = { guards: 'limit bound', file: 'bound.ts', tests: ['test/bound.test.ts'] }
  const list = mutants.map((mutant) => ({ ...common, ...mutant }))
  writeFileSync(join(root, 'test/mutants/all.yaml'), JSON.stringify(list))
  const options = {
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, TMPDIR: temporary },
    encoding: 'utf8',
  } as const
  const program = join(folder, 'program.mjs')
  writeFileSync(program, PROGRAM)
  const args = [program, root]
  return {
    run: (...only: string[]) => spawnSync(process.execPath, [...args, ...only], options),
    start: () => spawn(process.execPath, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] }),
    report: () =>
      JSON.parse(readFileSync(join(root, 'reports/mutate.json'), 'utf8')) as Record<string, unknown>,
    source: () => readFileSync(join(root, 'bound.ts'), 'utf8'),
    left: () => readdirSync(temporary),
  }
}

const KILLED = { breaks: 'one too many', replace: 'count >= bound', with: 'count > bound' }

test('when all mutants are killed it exits 0, writes a report, and changes neither tree nor temporary folder', (t) => {
  const tree = treeWith(t, [KILLED, { ...KILLED, breaks: 'by name', fails: 'full at the bound' }])
  const { status, stdout, stderr } = tree.run()
  assert.equal(status, 0, stdout + stderr)
  const { seconds, ...report } = tree.report()
  assert.equal(typeof seconds, 'number')
  assert.deepEqual(report, { mutants: 2, killed: 2, survivors: [], testFiles: 1 })
  assert.equal(tree.source(), SOURCE)
  assert.deepEqual(tree.left(), [])
})

test('a survivor is exit 1, with the reason; only a failed assertion kills a mutant', (t) => {
  const tree = treeWith(t, [
    KILLED,
    { breaks: 'nothing', replace: 'count >= bound', with: 'bound <= count' },
    { breaks: 'all of it', replace: 'count >= bound', with: "JSON.parse('x')" },
    { breaks: 'what its test does not show', replace: '>=', with: '>', fails: 'room below it' },
  ])
  const { status, stdout } = tree.run()
  assert.equal(status, 1)
  const { mutants, killed, survivors } = tree.report()
  assert.deepEqual([mutants, killed], [4, 1])
  assert.deepEqual(
    (survivors as { breaks: string; why: string }[]).map(({ breaks, why }) => [breaks, why]).sort(),
    [
      [
        'all of it',
        'its tests fail, but not by an assertion: full at the bound: Unexpected token \'x\', "x" is not valid JSON',
      ],
      ['nothing', 'all its tests pass'],
      ['what its test does not show', 'all its tests pass'],
    ],
  )
  assert.match(stdout, /^survived: nothing \(bound\.ts\): all its tests pass$/m)
})

test('mutants that do not fit the sources are exit 2: every problem is named and nothing runs', (t) => {
  const { status, stderr, stdout } = treeWith(t, [
    KILLED,
    KILLED,
    { breaks: 'gone', replace: 'count === bound', with: 'true' },
    { breaks: 'twice', replace: 'bound', with: 'count' },
    { breaks: 'no change', replace: 'count >= bound', with: 'count >= bound' },
    { breaks: 'no sense', replace: 'count >= bound', with: 'count >= (' },
    { breaks: 'no test', replace: 'count >= bound', with: 'true', tests: ['test/none.test.ts'] },
  ]).run()
  assert.equal(status, 2, stdout)
  assert.equal(
    stderr,
    [
      'test/mutants: 6 problems',
      '  all: one too many: breaks: expected words that no other mutant has, found the same words twice',
      '  all: gone: replace: expected it exactly once, found it 0 times in bound.ts',
      '  all: twice: replace: expected it exactly once, found it 2 times in bound.ts',
      '  all: no change: with: expected another text, found the same text',
      '  all: no sense: with: expected a file that still parses, found Expression expected.',
      '  all: no test: tests: expected test files, found no file test/none.test.ts',
      '',
    ].join('\n'),
  )
})

test('tests that fail without a mutant, or are missing, are exit 2, each named', (t) => {
  const failing = treeWith(t, [KILLED], TEST.replace('isFull(1, 2), false', 'isFull(1, 2), true')).run()
  assert.equal(failing.status, 2)
  assert.match(failing.stderr, /test\/bound\.test\.ts: room below it: expected a test that passes without/)
  const misnamed = treeWith(t, [{ ...KILLED, fails: 'full above the bound' }]).run()
  assert.equal(misnamed.status, 2)
  assert.match(misnamed.stderr, /one too many: fails: .*found "full above the bound"/)
})

test('a part that no mutant has is exit 2', (t) => {
  const { status, stderr } = treeWith(t, [KILLED]).run('another')
  assert.equal(status, 2)
  assert.match(stderr, /part: expected part of a list, file, rule or description/)
})

test('when told to stop in an endless loop, it ends and leaves neither a process nor a copy', async (t) => {
  const tree = treeWith(t, [{ breaks: 'the end', replace: 'count >= bound', with: '{ for (;;) {} }' }])
  const child = tree.start()
  let said = ''
  for await (const chunk of child.stdout) {
    said += String(chunk)
    if (said.includes('must pass')) break
  }
  // The tests without the mutant take a moment; then the loop begins.
  setTimeout(() => child.kill('SIGINT'), 2_000)
  const [code] = (await once(child, 'close')) as [number]
  assert.equal(code, 2)
  assert.deepEqual(tree.left(), [])
  assert.equal(tree.source(), SOURCE)
})
