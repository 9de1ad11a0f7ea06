// docs/troubleshooting.md against the sources: each message that the page explains must still be in one of them.
// A list item or a table row that begins with code names a message. `…` in it stands for a part that varies.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { refusals } from '../../server/smtp/refusal.ts'

const root = join(import.meta.dirname, '../..')
const page = readFileSync(join(root, 'docs/troubleshooting.md'), 'utf8')
const FOLDERS = '{contract,images,infra,input,mailkit,platform,scripts,server,storm}'

/** Code spans at the start of list items, and all of them in the first cells of tables. */
const messages = page.split('\n').flatMap((line) => {
  const item = /^- `([^`]+)`/.exec(line)?.[1]
  if (item !== undefined) return [item]
  const cell = /^\|((?: *`[^`]+`,?)+) *\|/.exec(line)?.[1] ?? ''
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code)
})

/** A source without its comments, its texts joined where they are written in parts. */
const sources = globSync(`${FOLDERS}/**/*.{ts,mjs}`, { cwd: root }).map((file) =>
  readFileSync(join(root, file), 'utf8')
    .replace(/^\s*\/\*\*[^]*?\*\/$/gm, '')
    .replace(/^\s*\/\/.*$/gm, '')
    .replace(/['"`]\s*\+\s*['"`]/g, '')
    .replace(/\\(['"`])/g, '$1'),
)

/**
 * What must be in one source. `KEY: expected A, found B` is made of three texts, which input/problems.ts joins.
 * The code of a reply is a number beside its text.
 */
function textsOf(message: string): string[] {
  const problem = /^(?:(.*): )?expected (.*?)(?:, found (.*))?$/.exec(message)
  const reply = /^([245]\d\d) (.*)$/.exec(message)
  const [, key = '', expected = '', found = ''] = problem ?? []
  const texts = problem ? [key, expected, found] : reply ? reply.slice(1) : [message]
  return texts.filter((text) => !IMPLIED.test(text))
}

/** `(whole file)` stands for an empty key; error codes and option names may come from elsewhere. */
const IMPLIED = /^(\(whole file\)|E[A-Z]+|--encrypt|[ (),.;:…]*)$/

/** The literal parts in their order. A varying part is code, in one place of the source. */
function patternOf(text: string): RegExp {
  const parts = text
    .split('…')
    .map((part) => part.trim())
    .filter((part) => part !== '')
  return new RegExp(parts.map((part) => RegExp.escape(part)).join('[^]{0,250}?'))
}

function isKnown(message: string): boolean {
  const isIn = (patterns: RegExp[]) => sources.some((source) => patterns.every((each) => each.test(source)))
  if (isIn(textsOf(message).map(patternOf))) return true
  // Some events are a step's name with `-failed` behind it.
  return /^[a-z]+-failed$/.test(message) && isIn([patternOf(`'${message.split('-')[0]}'`), /\}-failed`/])
}

test('every message on the page is in the sources', () => {
  assert.ok(messages.length > 150)
  assert.deepEqual(
    messages.filter((message) => !isKnown(message)),
    [],
  )
})

test('the page names no message twice in one section', () => {
  for (const section of page.split(/^## /m)) {
    const named = [...section.matchAll(/^- `([^`]+)`/gm)].map(([, message]) => message)
    assert.deepEqual(named.length, new Set(named).size, section.slice(0, 40))
  }
})

test('every refusal of the server is on the page', () => {
  const replies = Object.values(refusals).map(({ code, text }) => `${code} ${text}`)
  assert.deepEqual(
    replies.filter((reply) => !messages.includes(reply)),
    [],
  )
})
