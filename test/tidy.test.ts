// The rules of style and size, checked on the whole tree.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import ts from 'typescript'
import { parsedSources, placeOf, ROOT, sourceFiles, trackedFiles } from './kit/source-tree.ts'

const MAX_FILE_LINES = 300
const MAX_FUNCTION_LINES = 60
const MAX_PARAMETERS = 4

test(`files have at most ${MAX_FILE_LINES} lines`, () => {
  const long = [...parsedSources].map(([file, source]) => ({
    file,
    lines: source.getLineStarts().length - 1,
  }))
  assert.deepEqual(
    long.filter(({ lines }) => lines > MAX_FILE_LINES),
    [],
  )
})

test(`functions have at most ${MAX_FUNCTION_LINES} lines`, () => {
  const long: string[] = []
  for (const [file, source] of parsedSources) {
    const visit = (node: ts.Node): void => {
      if (ts.isFunctionLike(node) && 'body' in node && node.body) {
        const line = (position: number) => source.getLineAndCharacterOfPosition(position).line + 1
        const lines = line(node.end) - line(node.getStart()) + 1
        if (lines > MAX_FUNCTION_LINES) long.push(`${file}:${line(node.getStart())} ${lines} lines`)
      }
      ts.forEachChild(node, visit)
    }
    visit(source)
  }
  assert.deepEqual(long, [])
})

test(`functions have at most ${MAX_PARAMETERS} parameters`, () => {
  const found: string[] = []
  forEachNode((node, file, source) => {
    if (!ts.isFunctionLike(node) || !('body' in node)) return
    const { length } = node.parameters
    if (length > MAX_PARAMETERS) found.push(`${placeOf(file, source, node)} ${length} parameters`)
  })
  assert.deepEqual(found, [])
})

test('no spread of a literal, in an object, a list or a call', () => {
  const found: string[] = []
  forEachNode((node, file, source) => {
    if (!ts.isSpreadElement(node) && !ts.isSpreadAssignment(node)) return
    const { expression } = node
    if (ts.isArrayLiteralExpression(expression) || ts.isObjectLiteralExpression(expression))
      found.push(placeOf(file, source, node))
  })
  assert.deepEqual(found, [])
})

test('every source file starts with a comment that says what it owns', () => {
  const silent = sourceFiles.filter((file) => {
    const text = (parsedSources.get(file)?.text ?? '').replace(/^#!.*\n/, '')
    return !/^(\/\/|\/\*)/.test(text)
  })
  assert.deepEqual(silent, [])
})

test('no open marks, and no test that keeps others from running', () => {
  const marks = new RegExp(
    ['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX\\b', 'not ' + 'implemented', '\\.on' + 'ly\\('].join('|'),
  )
  const found = sourceFiles.filter((file) => marks.test(parsedSources.get(file)?.text ?? ''))
  assert.deepEqual(found, [])
})

test('no dependency is on a range, and the lock names no host', () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string>
  >
  for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies']) {
    for (const [name, version] of Object.entries(manifest[kind] ?? {}))
      assert.match(version, /^\d+\.\d+\.\d+$/, name)
  }
  assert.doesNotMatch(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'), /"resolved":/)
  for (const lock of trackedFiles.filter(
    (file) => file.startsWith('images/') && file.endsWith('.lock.json'),
  )) {
    assert.ok(!readFileSync(join(ROOT, lock), 'utf8').includes('://'), lock)
  }
})

test('package-lock.json has every package that another one needs, on every platform', () => {
  type Locked = { dependencies?: object; optionalDependencies?: object }
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>
  }
  /** As Node looks a package up: in node_modules of the package itself, then of each folder above it. */
  const found = (from: string, name: string): boolean => {
    if (packages[`${from === '' ? '' : `${from}/`}node_modules/${name}`]) return true
    const above = from.lastIndexOf('/node_modules/')
    return from !== '' && found(above < 0 ? '' : from.slice(0, above), name)
  }
  const missing = Object.entries(packages).flatMap(
    ([from, { dependencies = {}, optionalDependencies = {} }]) =>
      Object.keys({ ...dependencies, ...optionalDependencies }).filter((name) => !found(from, name)),
  )
  assert.deepEqual(missing, [])
})

test('types are correct (tsc)', () => {
  runTool('typescript/bin/tsc', ['--noEmit'])
  runTool('typescript/bin/tsc', ['--noEmit', '--project', 'storm/page/browser'])
})
test('lint is clean (eslint)', () => runTool('eslint/bin/eslint.js', ['.']))
test('formatting is clean (prettier)', () =>
  runTool('prettier/bin/prettier.cjs', ['--check', '--log-level=warn', '.']))

function runTool(bin: string, args: string[]): void {
  const ended = spawnSync(process.execPath, [join(ROOT, 'node_modules', bin), ...args], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  assert.equal(ended.status, 0, `${ended.stdout}${ended.stderr}`)
}

function forEachNode(look: (node: ts.Node, file: string, source: ts.SourceFile) => void): void {
  for (const [file, source] of parsedSources) {
    const visit = (node: ts.Node): void => {
      look(node, file, source)
      ts.forEachChild(node, visit)
    }
    visit(source)
  }
}
