// docs/benchmarks.md: one section for each benchmark, written by that benchmark.
// Owns the atomic replacement of one section.
import { existsSync, readFileSync } from 'node:fs'
import { writeFileAtomic } from '../../platform/atomic-file.ts'

const TITLE = `# Benchmarks

Each benchmark writes its own section. The figures are those of the machine that ran it. To get your own:

\`\`\`sh
npx mailfleet bench bake --document    # how long bakes take, and what a change of the server changes
npx mailfleet bench boot --document    # the golden image beside a conventional one
\`\`\`
`

/** Replaces, or adds, the section `heading` of the document at `file`. @param body Markdown without headings of the same level */
export function documentSection(file: string, heading: string, body: string): void {
  const before = existsSync(file) ? readFileSync(file, 'utf8') : TITLE
  writeFileAtomic(file, withSection(before, heading, body))
}

/** The document with the section `heading` in place of its last version, or after all others. */
export function withSection(document: string, heading: string, body: string): string {
  const [title = '', ...sections] = document.split(/^(?=## )/m)
  const section = `## ${heading}\n\n${body.trim()}\n`
  const isOld = (text: string) => text.startsWith(`## ${heading}\n`)
  const all = sections.some(isOld)
    ? sections.map((text) => (isOld(text) ? section : text))
    : [...sections, section]
  return `${[title, ...all].map((text) => text.trim()).join('\n\n')}\n`
}

/** A table in Markdown, its columns lined up as the formatter of the repository does. The first row is its head. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  const [head = [], ...body] = rows
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)]
}
