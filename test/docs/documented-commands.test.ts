// Every command and option in the documents and the workflow exists. Every action that the workflow uses is pinned.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'

const root = join(import.meta.dirname, '../..')
const files = [
  'README.md',
  'CONTRIBUTING.md',
  ...globSync('{docs/**/*.md,.github/**/*.yml}', { cwd: root }),
].sort()

/** `npx mailfleet image lock --check` → its file, `image lock`, and `--check`. */
const commands = files.flatMap((file) => {
  const text = readFileSync(join(root, file), 'utf8').replace(/\\\n\s*/g, ' ')
  return [...text.matchAll(/npx mailfleet ([^\n`#|&;>)]*)/g)].map(([, words = '']) => {
    const path = /^(?:[a-z]+ ?)*/.exec(words)?.[0].trim() ?? ''
    return { file, path, options: words.match(/--[a-z][a-z-]*/g) ?? [] }
  })
})

const GROUPS = ['image', 'bench', 'fleet']

function nameIn(path: string): string {
  const words = path.split(' ')
  return words.slice(0, GROUPS.includes(words[0] ?? '') ? 2 : 1).join(' ')
}

const helps = new Map<string, string>()

/** The help of the command that the first of the words name: what follows them are its arguments. */
function helpOf(path: string): string {
  const name = nameIn(path)
  const known = helps.get(name)
  if (known !== undefined) return known
  const argv = [join(root, 'scripts/run.mjs'), ...name.split(' '), '--help']
  const help = execFileSync(process.execPath, argv, { encoding: 'utf8' })
  helps.set(name, help)
  return help
}

test('every documented command and option exists', () => {
  assert.ok(commands.length > 20)
  const wrong = commands.flatMap(({ file, path, options }) => {
    const usage = `Usage: mailfleet ${nameIn(path)}`
    const help = helpOf(path)
    const missing = options.filter((option) => !help.includes(`${option} `) && !help.includes(`${option}\n`))
    return [...(help.startsWith(usage) ? [] : ['no such command']), ...missing].map(
      (what) => `${file}: ${path}: ${what}`,
    )
  })
  assert.deepEqual(wrong, [])
})

test('the workflow and the action use only pinned actions of others', () => {
  const uses = globSync('.github/**/*.yml', { cwd: root }).flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8')
    parse(text)
    return [...text.matchAll(/uses: (\S+)/g)].map(([, name = '']) => name)
  })
  assert.ok(uses.length > 5)
  assert.deepEqual(
    uses.filter((name) => !name.startsWith('./') && !/@[0-9a-f]{40}$/.test(name)),
    [],
  )
})
