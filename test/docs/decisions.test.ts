// The index of the decision records against the records: every record has one row, with its own title, and no row is left
// over. Each record has the agreed sections. Fails by naming the record.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const folder = join(import.meta.dirname, '../../docs/decisions')
const records = readdirSync(folder)
  .filter((name) => name !== 'README.md')
  .sort()

const readRecord = (name: string) => readFileSync(join(folder, name), 'utf8')

test('the index lists every decision record and no other, with number and title', () => {
  const rows = readRecord('README.md').matchAll(/^\| (\d{3}) +\| \[(.+?)\]\((\S+?\.md)\)/gm)
  const listed = [...rows].map(([, number, title, name]) => ({ name, heading: `# ${number}: ${title}` }))
  const expected = records.map((name) => ({ name, heading: readRecord(name).split('\n', 1)[0] }))
  assert.deepEqual(listed, expected)
})

test('the number of a decision record is that of its file name, and occurs once', () => {
  const numbers = records.map((name) => name.slice(0, 3))
  assert.deepEqual([...new Set(numbers)], numbers)
  for (const name of records) assert.match(readRecord(name), new RegExp(`^# ${name.slice(0, 3)}: `))
})

test('a decision record says what was decided, why, and what it costs or which alternatives there are', () => {
  for (const name of records) {
    const text = readRecord(name)
    assert.match(text, /^## Decision$/m, `${name} has no section Decision`)
    assert.match(text, /^## Why\b/m, `${name} has no section Why`)
    assert.match(
      text,
      /^## (What it costs|Alternatives)$/m,
      `${name} has no section on costs or alternatives`,
    )
  }
})

test('a status in the index that names another record is noted in the record itself', () => {
  const rows = readRecord('README.md').matchAll(/^\| (\d{3}) +\|.*?\| in force, (.+?) +\|/gm)
  for (const [, number, status] of rows)
    for (const [later] of status!.matchAll(/\d{3}/g)) {
      const name = records.find((record) => record.startsWith(number!))!
      assert.match(readRecord(name), new RegExp(`\\[${later}\\]\\(${later}-`), `${name} links to ${later}`)
    }
})
