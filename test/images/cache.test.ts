// The cache of stages: results are whole, are made once, and are made again when their inputs or their code change.
import assert from 'node:assert/strict'
import { existsSync, globSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import ts from 'typescript'
import { defaultCacheDir, runStage } from '../../images/cache.ts'
import { importClosure } from '../../platform/import-closure.ts'

const newCache = () => mkdtempSync(join(tmpdir(), 'mailfleet-cache-'))

const emptyModule = join(newCache(), 'empty.ts')
writeFileSync(emptyModule, '')

/** A stage that writes `text` and counts how often it did. */
function stageOf(cacheDir: string, inputs: unknown, code = emptyModule) {
  const runs = { count: 0 }
  const run = () =>
    runStage(cacheDir, {
      name: 'example',
      inputs,
      code,
      run: async (folder) => {
        runs.count++
        await Promise.resolve()
        writeFileSync(join(folder, 'out'), JSON.stringify(inputs))
      },
    })
  return { run, runs }
}

test('a stage with equal inputs runs once, with other inputs again', async () => {
  const cacheDir = newCache()
  const { run, runs } = stageOf(cacheDir, { a: 1 })
  assert.equal((await run()).cached, false)
  const second = await run()
  assert.equal(second.cached, true)
  assert.equal(runs.count, 1)
  assert.equal(readFileSync(join(second.path, 'out'), 'utf8'), '{"a":1}')
  assert.notEqual((await stageOf(cacheDir, { a: 2 }).run()).path, second.path)
})

test('a stage whose code changed runs again', async () => {
  const cacheDir = newCache()
  const code = join(cacheDir, 'stage.ts')
  writeFileSync(code, 'one')
  const { run, runs } = stageOf(cacheDir, 1, code)
  await run()
  writeFileSync(code, 'two')
  await run()
  assert.equal(runs.count, 2)
})

test('a stage runs again when a helper is extracted to a file of its own, and when that file changes', async () => {
  const cacheDir = newCache()
  const [code, helper, deeper] = ['stage.ts', 'helper.ts', 'deeper.ts'].map((name) => join(cacheDir, name))
  const { run, runs } = stageOf(cacheDir, 1, code)
  writeFileSync(code!, 'const size = () => 1\n')
  await run()
  writeFileSync(code!, "import { size } from './helper.ts'\n")
  writeFileSync(helper!, "export { size } from './deeper.ts'\n")
  writeFileSync(deeper!, 'export const size = () => 1\n')
  await run()
  await run()
  assert.equal(runs.count, 2)
  writeFileSync(deeper!, 'export const size = () => 2\n')
  await run()
  assert.equal(runs.count, 3)
})

test('a stage that fails leaves nothing, and the next attempt succeeds', async () => {
  const cacheDir = newCache()
  const failing = runStage(cacheDir, {
    name: 'example',
    inputs: 1,
    code: emptyModule,
    run: (folder) => {
      writeFileSync(join(folder, 'half'), '')
      return Promise.reject(new Error('tool failed'))
    },
  })
  await assert.rejects(failing, /tool failed/)
  assert.equal(existsSync(join(cacheDir, 'stages')), false)
  assert.deepEqual(readdirSync(join(cacheDir, 'tmp')), [])
  assert.equal((await stageOf(cacheDir, 1).run()).cached, false)
})

test('concurrent runs of one stage end with the same whole result', async () => {
  const cacheDir = newCache()
  const results = await Promise.all([1, 2, 3].map(() => stageOf(cacheDir, 'same').run()))
  assert.equal(new Set(results.map(({ path }) => path)).size, 1)
  assert.equal(readFileSync(join(results[0]?.path ?? '', 'out'), 'utf8'), '"same"')
  assert.deepEqual(readdirSync(join(cacheDir, 'tmp')), [])
})

test('the cache is where the environment says', () => {
  assert.equal(defaultCacheDir({ MAILFLEET_CACHE: '/c' }), '/c')
  assert.equal(defaultCacheDir({ XDG_CACHE_HOME: '/x' }), '/x/mailfleet')
  assert.match(defaultCacheDir({}), /\/\.cache\/mailfleet$/)
})

const root = join(import.meta.dirname, '../..')
/** Source files that run a stage. */
const stages = globSync('images/**/*.ts', { cwd: root })
  .map((file) => join(root, file))
  .filter((file) => /(await|return) runStage\(/.test(readFileSync(file, 'utf8')))

test('each stage names its own module as its code', () => {
  assert.ok(stages.length >= 13)
  for (const file of stages) {
    const text = readFileSync(file, 'utf8')
    const runs = text.match(/runStage\(cacheDir, \{/g)?.length
    assert.equal(text.match(/^ +code: import\.meta\.filename,$/gm)?.length, runs, file)
  }
})

test('the key of each stage covers every file that its module imports, as the TypeScript compiler sees it', () => {
  for (const file of stages) {
    const covered = importClosure(file)
    for (const each of covered.filter((path) => path.endsWith('.ts')))
      assert.deepEqual(
        valueImports(each).filter((path) => !covered.includes(path)),
        [],
        `${file} through ${each}`,
      )
  }
})

test('a file that a stage reads is named by import.meta.dirname, and so is part of its key', () => {
  const names = stages.flatMap((file) => importClosure(file).map((path) => relative(root, path)))
  for (const data of [
    'images/bake/initrd/init',
    'images/bake/boot-files.txt',
    'images/system/etc/nftables.conf',
  ])
    assert.ok(names.includes(data), data)
  const byUrl = names.filter((name) => name.endsWith('.ts') && /import\.meta\.url/.test(readText(name)))
  assert.deepEqual(byUrl, [])
})

const readText = (name: string) => readFileSync(join(root, name), 'utf8')

/** Files that a module imports or re-exports by a relative path, types left out. */
function valueImports(file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true)
  const paths: string[] = []
  const visit = (node: ts.Node): void => {
    const isStatic =
      (ts.isImportDeclaration(node) && node.importClause?.phaseModifier !== ts.SyntaxKind.TypeKeyword) ||
      (ts.isExportDeclaration(node) && !node.isTypeOnly)
    const target = isStatic
      ? node.moduleSpecifier
      : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
        ? node.arguments[0]
        : undefined
    if (target && ts.isStringLiteral(target) && target.text.startsWith('.'))
      paths.push(join(dirname(file), target.text))
    ts.forEachChild(node, visit)
  }
  visit(source)
  return paths
}
