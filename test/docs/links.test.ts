// Every relative link in a Markdown file leads to a tracked file or folder, and every anchor to a heading of its page.
// A code span that looks like a path from the root names a file or a folder that exists.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'
import { ROOT, trackedFiles } from '../kit/source-tree.ts'

const pages = trackedFiles.filter((file) => file.endsWith('.md'))
const folders = new Set(trackedFiles.flatMap(foldersOf))

/** `a/b/c.ts` → `a/b`, `a`, `.`. */
function foldersOf(file: string): string[] {
  const folder = dirname(file)
  return folder === '.' ? [folder] : [folder, ...foldersOf(folder)]
}

const exists = (path: string) => trackedFiles.includes(path) || folders.has(path.replace(/(?<=.)\/$/, ''))

/** The text of a page without its code blocks. */
const proseOf = (page: string) =>
  readFileSync(join(ROOT, page), 'utf8').replace(/^ *```.*\n[^]*?^ *```$/gm, '')

/** The targets of inline links, images and link definitions that are not addresses on the web. */
function targetsIn(prose: string): string[] {
  const text = prose.replace(/(`+)[^`]+\1/g, 'code')
  const found = [...text.matchAll(/\]\(([^()\s]+)(?: "[^"]*")?\)|^\[[^\]]+\]: (\S+)/gm)]
  return found
    .map(([, inline, definition]) => inline ?? definition ?? '')
    .filter((target) => !/^[a-z]+:/.test(target))
}

/** As GitHub makes them: lower case, without punctuation, a hyphen for each space, a number behind a repeated one. */
function anchorsOf(page: string): Set<string> {
  const seen = new Map<string, number>()
  const headings = [...proseOf(page).matchAll(/^#+ +(.+)$/gm)].map(([, heading = '']) => {
    const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const anchor = text.replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-')
    const before = seen.get(anchor) ?? 0
    seen.set(anchor, before + 1)
    return before === 0 ? anchor : `${anchor}-${before}`
  })
  return new Set(headings)
}

function problemOf(page: string, target: string): string | null {
  const [path = '', anchor] = target.split('#')
  const file = path === '' ? page : normalize(join(dirname(page), decodeURI(path)))
  if (!exists(file)) return `${page}: no file for ${target}`
  if (anchor !== undefined && !anchorsOf(file).has(anchor)) return `${page}: no heading for ${target}`
  return null
}

test('every relative link and every anchor in a Markdown file leads somewhere', () => {
  const links = pages.flatMap((page) => targetsIn(proseOf(page)).map((target) => ({ page, target })))
  assert.ok(links.length > 200, `${links.length} links`)
  const problems = links.map(({ page, target }) => problemOf(page, target)).filter((found) => found !== null)
  assert.deepEqual(problems, [])
})

/** Pages that tell the way to a file. Decision records and the changelog may name files of their time. */
const guides = pages.filter((page) => !/^(CHANGELOG\.md|docs\/decisions\/\d)/.test(page))
const PATH = /`((?:contract|docs|images|infra|input|mailkit|platform|scripts|server|storm|test)\/[\w./-]*)`/g

/** `infra/NAME/` stands for any name. */
const PLACEHOLDER = /[/-](NAME|TITLE)\b/

test('every path in a code span of a guide exists', () => {
  const named = guides.flatMap((page) =>
    [...proseOf(page).matchAll(PATH)].map(([, path = '']) => ({ page, path })),
  )
  assert.ok(named.length > 50, `${named.length} paths`)
  // The tests of the invariants are named from test/.
  const wrong = named
    .filter(({ path }) => !PLACEHOLDER.test(path))
    .filter(({ path }) => !exists(path) && !exists(`test/${path}`))
  assert.deepEqual(wrong, [])
})
