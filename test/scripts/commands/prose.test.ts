// What counts as a sentence and as a word, and the averages that this repository keeps to.
import assert from 'node:assert/strict'
import { globSync, mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { PROSE_GLOBS, proseOf } from '../../../scripts/commands/prose.ts'

const root = join(import.meta.dirname, '../../..')
const MOST_WORDS = { documents: 14, comments: 13 }

function measured(name: string, text: string) {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'prose-'))
  const file = join(folder.path, name)
  writeFileSync(file, text)
  return proseOf(file)
}

test('in a document headings, tables and code are not prose', () => {
  const text = [
    '# A heading. Not prose.',
    'One sentence here.',
    'It has `code. with stops` and a [link](a/b.md)! Another one?',
    '',
    '| a table. | of words. |',
    '',
    '- a list item',
    '  that goes on',
    '- 2.5 is one word',
    '```',
    'some code. more code.',
    '```',
  ]
  const { sentences, words } = measured('page.md', text.join('\n'))
  assert.deepEqual(sentences, [
    'One sentence here.',
    'It has `code_ with stops` and a [link]!',
    'Another one?',
    'a list item   that goes on',
    '2.5 is one word',
  ])
  assert.equal(words, 3 + 8 + 2 + 6 + 4)
})

test('in a source only the comments are prose', () => {
  const text = [
    '// The head of a file.',
    '// It goes on here.',
    "import { x } from 'y. z.'",
    '',
    '/**',
    ' * Doubles a number. Twice.',
    ' * @returns the double',
    ' */',
    'const twice = (n: number) => 2 * n // at the end of a line',
    'const text = `no // comment. ${twice(1)}`',
  ]
  assert.deepEqual(measured('source.ts', text.join('\n')).sentences, [
    'The head of a file.',
    'It goes on here.',
    'Doubles a number.',
    'Twice.',
    'the double',
    'at the end of a line',
  ])
})

for (const [kind, globs] of Object.entries(PROSE_GLOBS)) {
  const most = MOST_WORDS[kind as keyof typeof MOST_WORDS]
  test(`${kind} have at most ${most} words a sentence on average`, (t) => {
    const files = globSync(globs, { cwd: root, exclude: ['test/fixtures/**'] })
    const all = files.map((file) => proseOf(join(root, file)))
    const sentences = all.reduce((sum, prose) => sum + prose.sentences.length, 0)
    const average = all.reduce((sum, prose) => sum + prose.words, 0) / sentences
    t.diagnostic(`${average.toFixed(1)} words a sentence, ${sentences} sentences`)
    assert.ok(sentences > 1000)
    assert.ok(average <= most, `${average.toFixed(2)} words a sentence`)
  })
}
