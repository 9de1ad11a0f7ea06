// Which folder may import which, and that no files import each other in a circle. Type imports count.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { importsBetweenFiles, parsedSources, sourceFiles, specifiersOf } from '../kit/source-tree.ts'

/** Folders that every folder may import. */
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

/** Started by name and not imported: programs, and what a test runs as a process of its own. */
const isEntry = (file: string) =>
  /^(scripts\/(run|setup)\.mjs|scripts\/mailfleet\.ts|server\/main\.ts|infra\/program\.mjs)$/.test(file) ||
  file.startsWith('test/')

const roomOf = (file: string) => file.split('/')[0] ?? ''

test('imports go in the agreed direction', () => {
  const wrong = [...importsBetweenFiles()].filter(
    ({ from, to }) => roomOf(from) in mayImport && !mayImport[roomOf(from)]?.includes(roomOf(to)),
  )
  assert.deepEqual(wrong, [])
})

test('the direction of every folder with sources is agreed', () => {
  const rooms = new Set(sourceFiles.filter((file) => file.includes('/')).map(roomOf))
  assert.deepEqual([...rooms].sort(), Object.keys(mayImport).sort())
})

test('infra/scaling stays pure: it imports nothing of Node and nothing of other folders', () => {
  const wrong = [...parsedSources]
    .filter(([file]) => file.startsWith('infra/scaling/'))
    .flatMap(([file, source]) =>
      specifiersOf(source)
        .filter((name) => name.startsWith('node:') || name.startsWith('../'))
        .map((name) => `${file} imports ${name}`),
    )
  assert.deepEqual(wrong, [])
})

test('no files import each other in a circle, type imports included', () => {
  const graph = new Map<string, string[]>(sourceFiles.map((file) => [file, []]))
  for (const { from, to } of importsBetweenFiles()) graph.get(from)?.push(to)
  assert.deepEqual(circlesOf(graph), [])
})

test('the search for circles finds one', () => {
  const graph = new Map([
    ['a', ['b']],
    ['b', ['c', 'd']],
    ['c', ['a']],
    ['d', []],
  ])
  assert.deepEqual(circlesOf(graph), [['a', 'b', 'c']])
})

test('no barrels: no file only re-exports', () => {
  const barrels = [...parsedSources].filter(
    ([, { statements }]) =>
      statements.length > 0 &&
      statements.every((statement) => 'moduleSpecifier' in statement && !('importClause' in statement)),
  )
  assert.deepEqual(
    barrels.map(([file]) => file),
    [],
  )
})

test('no dead files: every source is imported or started by name', () => {
  const used = new Set([...importsBetweenFiles()].map(({ to }) => to))
  const text = [...parsedSources.values()].map((source) => source.text).join('\n')
  const startedByName = (file: string) => text.includes(`/${file.split('/').at(-1) ?? file}'`)
  const dead = sourceFiles.filter(
    (file) => !isEntry(file) && !file.endsWith('.config.js') && !used.has(file) && !startedByName(file),
  )
  assert.deepEqual(dead, [])
})

const MAX_IMPORTS_BETWEEN_ROOMS = 60

test(`imports between the rooms of images/: at most ${MAX_IMPORTS_BETWEEN_ROOMS}`, (t) => {
  // The files at images/ itself are shared words and no room.
  const roomBelow = (file: string) => /^images\/([^/]+)\//.exec(file)?.[1]
  const between = [...importsBetweenFiles()].flatMap(({ from, to }) => {
    const rooms = [roomBelow(from), roomBelow(to)]
    return rooms.includes(undefined) || rooms[0] === rooms[1] ? [] : [rooms.join(' → ')]
  })
  const byPair = Map.groupBy(between, (pair) => pair)
  for (const [pair, imports] of [...byPair].sort()) t.diagnostic(`${pair}: ${imports.length}`)
  t.diagnostic(
    `imports between the rooms of images/: ${between.length}, at most ${MAX_IMPORTS_BETWEEN_ROOMS}`,
  )
  assert.ok(between.length <= MAX_IMPORTS_BETWEEN_ROOMS)
})

/** Strongly connected components of more than one node (Tarjan 1972). */
function circlesOf(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const stack: string[] = []
  const circles: string[][] = []
  const visit = (node: string): number => {
    const own = index.size
    index.set(node, own)
    low.set(node, own)
    stack.push(node)
    for (const next of graph.get(node) ?? []) {
      if (!index.has(next)) low.set(node, Math.min(low.get(node) ?? own, visit(next)))
      else if (stack.includes(next)) low.set(node, Math.min(low.get(node) ?? own, index.get(next) ?? own))
    }
    if (low.get(node) === own) {
      const circle = stack.splice(stack.indexOf(node))
      if (circle.length > 1) circles.push(circle.sort())
    }
    return low.get(node) ?? own
  }
  for (const node of graph.keys()) if (!index.has(node)) visit(node)
  return circles
}
