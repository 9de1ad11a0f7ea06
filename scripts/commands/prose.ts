// `npm run prose`: prints the average number of words a sentence, in the documents and in the comments of the sources.
// Owns: what counts as a sentence and as a word. A heading, a table and a block of code count as neither.
import { globSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import ts from 'typescript'
import type { CommandContext } from '../options.ts'

export type Prose = { sentences: string[]; words: number }

/** What `npm run prose` measures, as globs from the root. */
export const PROSE_GLOBS = {
  documents: [
    '*.md',
    'docs/**/*.md',
    '{contract,platform,mailkit,server,images,infra,storm,scripts,test}/**/README.md',
  ],
  comments: ['{contract,platform,mailkit,server,images,infra,storm,input,scripts,test}/**/*.{ts,mjs}'],
}
const LEFT_OUT = ['node_modules/**', 'build/**', 'test/fixtures/**']

export default function addProse(program: Command, { project }: CommandContext): void {
  program
    .command('prose')
    .description('print the average words a sentence of the documents and of the comments')
    .option('--longer-than <words>', 'also print every sentence with more words than this', wordCount)
    .action(({ longerThan }: { longerThan?: number }) => {
      process.exitCode = printProse(
        project.root,
        longerThan === undefined ? {} : { longestWords: longerThan },
      )
    })
}

function wordCount(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number, 1 or more.')
}

/** Prints the averages, and every sentence that is longer than `longestWords`. */
export function printProse(root: string, { longestWords }: { longestWords?: number }): number {
  for (const [kind, globs] of Object.entries(PROSE_GLOBS)) {
    let sentences = 0
    let words = 0
    for (const file of globSync(globs, { cwd: root, exclude: LEFT_OUT }).sort()) {
      const prose = proseOf(join(root, file))
      sentences += prose.sentences.length
      words += prose.words
      for (const sentence of longestWords === undefined ? [] : prose.sentences) {
        const length = countWords(sentence)
        if (length > (longestWords ?? 0))
          console.log(`${relative(root, join(root, file))}: ${length}: ${sentence}`)
      }
    }
    console.log(`${kind}: ${(words / sentences).toFixed(1)} words a sentence, ${sentences} sentences`)
  }
  return 0
}

/** The sentences of one file: a document by its ending .md, otherwise the comments of a source. */
export function proseOf(file: string): Prose {
  const text = readFileSync(file, 'utf8')
  const blocks = file.endsWith('.md') ? markdownBlocks(text) : commentBlocks(file, text)
  const sentences = blocks.flatMap(sentencesOf)
  return { sentences, words: sentences.reduce((sum, sentence) => sum + countWords(sentence), 0) }
}

/** A sentence ends at a full stop, a question mark or an exclamation mark before a space, or where its block ends. */
function sentencesOf(block: string): string[] {
  return block
    .replace(/`[^`]*`/g, (code) => code.replace(/[.!?]/g, '_'))
    .split(/(?<=[.!?][)"”*_]*)\s+/)
    .map((sentence) => sentence.trim())
    .filter((sentence) => countWords(sentence) > 0)
}

const countWords = (text: string) => text.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length

/** Paragraphs and list items. */
function markdownBlocks(text: string): string[] {
  const blocks: string[] = []
  let block: string[] = []
  let isCode = false
  const end = () => {
    if (block.length > 0) blocks.push(block.join(' '))
    block = []
  }
  for (const line of text.split('\n')) {
    if (/^\s*```/.test(line)) isCode = !isCode
    const isProse = !isCode && !/^\s*(```|\||#|<!--|$)/.test(line)
    if (!isProse || /^\s*([-*]|\d+\.)\s/.test(line)) end()
    if (isProse) block.push(line.replace(/^\s*([-*]|\d+\.)\s+/, '').replace(/\]\([^)]*\)/g, ']'))
  }
  end()
  return blocks
}

/** Doc comments by paragraph and tag; line comments that follow one another are one block. */
function commentBlocks(file: string, text: string): string[] {
  const blocks: string[] = []
  let last = { end: -1, isLine: false }
  for (const { pos, end, kind } of commentsOf(file, text)) {
    const raw = text.slice(pos, end)
    const isLine = kind === ts.SyntaxKind.SingleLineCommentTrivia
    if (/^#!|eslint-|@ts-/.test(raw)) continue
    if (isLine && last.isLine && /^\n\s*$/.test(text.slice(last.end, pos))) {
      blocks.push(`${blocks.pop() ?? ''} ${raw.slice(2).trim()}`)
    } else if (isLine) {
      blocks.push(raw.slice(2).trim())
    } else {
      const lines = raw
        .slice(2, -2)
        .split('\n')
        .map((line) => line.replace(/^\s*\*?\s?/, ''))
      const marked = lines.map((line) =>
        /^\s*(@|- |$)/.test(line) ? `\n\n${line.replace(/^\s*(@\w+|-)/, '')}` : line,
      )
      blocks.push(
        ...marked
          .join(' ')
          .split('\n\n')
          .map((block) => block.trim()),
      )
    }
    last = { end, isLine }
  }
  return blocks.filter((block) => block !== '')
}

/** Every comment of a source once, in order. */
function commentsOf(file: string, text: string): ts.CommentRange[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const found = new Map<number, ts.CommentRange>()
  const visit = (node: ts.Node): void => {
    const leading = ts.getLeadingCommentRanges(text, node.getFullStart()) ?? []
    const trailing = ts.getTrailingCommentRanges(text, node.getEnd()) ?? []
    for (const range of [...leading, ...trailing]) found.set(range.pos, range)
    for (const child of node.getChildren(source)) visit(child)
  }
  visit(source)
  return [...found.values()].sort((a, b) => a.pos - b.pos)
}
