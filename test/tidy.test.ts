// Style is a failing test: what the design promises about the tree, checked on the tree.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'
import ts from 'typescript'

const root = join(import.meta.dirname, '..')
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '')
const sources = tracked.filter((file) => /\.(ts|mjs)$/.test(file) && !file.startsWith('test/fixtures/'))
const parsed = new Map(
  sources.map((file) => [
    file,
    ts.createSourceFile(file, readFileSync(join(root, file), 'utf8'), ts.ScriptTarget.Latest, true),
  ]),
)

const MAX_FILE_LINES = 300
const MAX_FUNCTION_LINES = 60

/** Folders that every folder may import. They import nothing but each other. */
const shared = ['contract', 'platform', 'input']
const houses = ['server', 'images', 'infra', 'storm', 'mailkit']

/** Folder → the folders of ours it may import. */
const mayImport: Record<string, string[]> = {
  contract: ['contract'],
  input: ['input'],
  platform: shared,
  mailkit: ['mailkit', ...shared],
  server: ['server', ...shared],
  images: ['images', 'mailkit', ...shared],
  infra: ['infra', ...shared],
  storm: ['storm', 'infra', 'mailkit', ...shared],
  scripts: ['scripts', ...houses, ...shared],
  test: ['test', 'scripts', ...houses, ...shared],
}

/** Started by name, not imported: programs, configuration files, and what a test runs as a process of its own. */
const isEntry = (file: string) =>
  /^(scripts\/(run|setup)\.mjs|scripts\/mailfleet\.ts|server\/main\.ts|infra\/program\.mjs)$/.test(file) ||
  file.startsWith('test/')

test('imports go in the agreed direction', () => {
  const wrong = [...imports()].filter(({ from, to }) => {
    const folder = from.split('/')[0] ?? ''
    return folder in mayImport && !mayImport[folder]?.includes(to.split('/')[0] ?? '')
  })
  assert.deepEqual(wrong, [])
})

test('infra/scaling stays pure: nothing of Node, nothing of other folders', () => {
  const wrong = [...parsed]
    .filter(([file]) => file.startsWith('infra/scaling/'))
    .flatMap(([file, source]) =>
      specifiers(source)
        .filter((name) => name.startsWith('node:') || name.startsWith('../'))
        .map((name) => `${file} imports ${name}`),
    )
  assert.deepEqual(wrong, [])
})

test(`files have at most ${MAX_FILE_LINES} lines`, () => {
  const long = [...parsed].map(([file, source]) => ({ file, lines: source.getLineStarts().length - 1 }))
  assert.deepEqual(
    long.filter(({ lines }) => lines > MAX_FILE_LINES),
    [],
  )
})

test(`functions have at most ${MAX_FUNCTION_LINES} lines`, () => {
  const long: string[] = []
  for (const [file, source] of parsed) {
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

test('no barrels: no file that only re-exports', () => {
  const barrels = [...parsed].filter(
    ([, { statements }]) =>
      statements.length > 0 &&
      statements.every((statement) => ts.isExportDeclaration(statement) && statement.moduleSpecifier),
  )
  assert.deepEqual(
    barrels.map(([file]) => file),
    [],
  )
})

test('no dead files: every source is imported or an entry', () => {
  const used = new Set([...imports()].map(({ to }) => to))
  const text = sources.map((file) => parsed.get(file)?.text ?? '').join('\n')
  const startedByName = (file: string) => text.includes(`/${file.split('/').at(-1) ?? file}'`)
  const dead = sources.filter(
    (file) => !isEntry(file) && !file.endsWith('.config.js') && !used.has(file) && !startedByName(file),
  )
  assert.deepEqual(dead, [])
})

test('every source file says at its head what it owns', () => {
  const silent = sources.filter((file) => {
    const text = (parsed.get(file)?.text ?? '').replace(/^#!.*\n/, '')
    return !/^(\/\/|\/\*)/.test(text)
  })
  assert.deepEqual(silent, [])
})

test('nothing is left open, and no test is kept from running', () => {
  const marks = new RegExp(
    ['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX\\b', 'not ' + 'implemented', '\\.on' + 'ly\\('].join('|'),
  )
  const found = sources.filter((file) => marks.test(parsed.get(file)?.text ?? ''))
  assert.deepEqual(found, [])
})

test('no dependency is on a range, and the lock names no host', () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string>
  >
  for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies']) {
    for (const [name, version] of Object.entries(manifest[kind] ?? {}))
      assert.match(version, /^\d+\.\d+\.\d+$/, name)
  }
  assert.doesNotMatch(readFileSync(join(root, 'package-lock.json'), 'utf8'), /"resolved":/)
  for (const lock of tracked.filter((file) => file.startsWith('images/') && file.endsWith('.lock.json'))) {
    assert.ok(!readFileSync(join(root, lock), 'utf8').includes('://'), lock)
  }
})

test('npm’s lock is whole: it holds every package that another one names, for every platform', () => {
  type Locked = { dependencies?: object; optionalDependencies?: object }
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
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

test('types hold (tsc)', () => runTool('typescript/bin/tsc', ['--noEmit']))
test('lint is clean (eslint, type-aware)', () => runTool('eslint/bin/eslint.js', ['.']))
test('formatting is prettier’s', () =>
  runTool('prettier/bin/prettier.cjs', ['--check', '--log-level=warn', '.']))

function runTool(bin: string, args: string[]): void {
  const ended = spawnSync(process.execPath, [join(root, 'node_modules', bin), ...args], {
    cwd: root,
    encoding: 'utf8',
  })
  assert.equal(ended.status, 0, `${ended.stdout}${ended.stderr}`)
}

function specifiers(source: ts.SourceFile): string[] {
  const names: string[] = []
  const visit = (node: ts.Node): void => {
    if (
      (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) &&
      node.moduleSpecifier &&
      ts.isStringLiteral(node.moduleSpecifier)
    ) {
      names.push(node.moduleSpecifier.text)
    }
    const [argument] =
      ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword ? node.arguments : []
    if (argument && ts.isStringLiteral(argument)) names.push(argument.text)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return names
}

function* imports(): Generator<{ from: string; to: string }> {
  for (const [from, source] of parsed) {
    for (const name of specifiers(source)) {
      if (name.startsWith('.')) yield { from, to: normalize(join(dirname(from), name)) }
    }
  }
}
