// `npm run docs`: writes the tables of configuration keys into docs/server.md, from the schema and its reference.
// Owns: how a unit, a bound and a default are printed. Throws if the page lacks the markers of the tables.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { configReference, type ConfigKey } from '../../server/config/reference.ts'
import { configSchema } from '../../server/config/schema.ts'
import type { CommandContext } from '../options.ts'

const PAGE = 'docs/server.md'
const BEGIN = '<!-- config: begin -->'
const END = '<!-- config: end -->'

/** The parts of a valibot schema that the tables need. */
type SchemaNode = {
  type: string
  default?: unknown
  wrapped?: SchemaNode
  pipe?: readonly SchemaNode[]
  entries?: Record<string, SchemaNode>
  options?: readonly unknown[]
  literal?: unknown
  message?: unknown
}

type Row = { key: string; value: string; default: string }
type Section = { title: string; rows: Row[] }

export default function addDocs(program: Command, { project }: CommandContext): void {
  program
    .command('docs')
    .description('write the tables of configuration keys into docs/server.md')
    .action(() => writeDocs(project.root))
}

/** Writes the tables into the page. */
function writeDocs(root: string): void {
  const file = join(root, PAGE)
  writeFileSync(file, withTables(readFileSync(file, 'utf8')))
}

/** @returns the page with the tables of the schema between its markers. */
export function withTables(page: string): string {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (from === -1 || to < from) throw new Error(`${PAGE}: the markers ${BEGIN} and ${END} are missing`)
  return `${page.slice(0, from + BEGIN.length)}\n\n${tables()}\n\n${page.slice(to)}`
}

/** Every key of the schema, in its order. */
export function configKeys(): string[] {
  return [...new Set(sections().flatMap(({ rows }) => rows.map(({ key }) => key)))]
}

function tables(): string {
  return sections()
    .map(({ title, rows }) => `#### ${title}\n\n${table(rows)}`)
    .join('\n\n')
}

/** One section for each top-level key; keys without a section of their own come first. */
function sections(): Section[] {
  const general: Section = { title: 'General', rows: [] }
  const found = [general]
  for (const [key, node] of Object.entries(objectOf(configSchema)?.entries ?? {})) {
    const required =
      node.type === 'optional' && node.default === undefined ? `required with \`${key}\`` : 'required'
    const variants = unwrapped(node).options as readonly SchemaNode[] | undefined
    if (variants !== undefined) {
      for (const variant of variants) {
        const engine = unwrapped(objectOf(variant)?.entries?.['engine'] ?? variant).literal
        found.push({ title: `\`${key}\`, engine: ${String(engine)}`, rows: rowsOf(key, variant, required) })
      }
    } else if (objectOf(node) === undefined) general.rows.push(...rowsOf(key, node, required))
    else found.push({ title: `\`${key}\``, rows: rowsOf(key, node, required) })
  }
  return found
}

function rowsOf(key: string, node: SchemaNode, required: string): Row[] {
  const entries = objectOf(node)?.entries
  if (entries === undefined) {
    const { value, format } = valueOf(unwrapped(node))
    const fallback =
      node.type === 'optional' ? (node.default === undefined ? '–' : format(node.default)) : required
    return [{ key, value, default: configReference[key as ConfigKey].default ?? fallback }]
  }
  return Object.entries(entries).flatMap(([name, child]) => {
    const optional = child.type === 'optional' && child.default === undefined
    return rowsOf(`${key}.${name}`, child, optional ? `required with \`${key}.${name}\`` : required)
  })
}

/** The schema inside `v.optional`. */
function unwrapped(node: SchemaNode): SchemaNode {
  return node.wrapped ?? node
}

function objectOf(node: SchemaNode): SchemaNode | undefined {
  const inner = unwrapped(node)
  const object = inner.pipe?.[0] ?? inner
  return object.entries === undefined ? undefined : object
}

/** The value's type and bounds as text, and a function that prints its default. */
function valueOf(node: SchemaNode): { value: string; format: (value: unknown) => string } {
  const code = (value: unknown) => `\`${String(value)}\``
  if (node.type === 'literal') return { value: code(node.literal), format: code }
  if (node.type === 'boolean') return { value: '`true`, `false`', format: code }
  if (node.type === 'picklist') return { value: (node.options ?? []).map(code).join(', '), format: code }
  if (node.type === 'array') return { value: 'list', format: code }
  const texts = (node.pipe ?? [node]).map(({ message }) => message).filter((text) => typeof text === 'string')
  const text = texts[0] ?? node.type
  const [, unit, least, most] = /^a whole number of (.+), (\d+) to (\d+)$/.exec(text) ?? []
  if (unit === undefined)
    return { value: text.replace(/^(an?|the) /, ''), format: node.type === 'number' ? String : code }
  const format = (value: unknown) => amount(Number(value), unit)
  return { value: `${format(least)} to ${format(most)}`, format }
}

const SCALES: Record<string, readonly [name: string, size: number][]> = {
  milliseconds: [
    ['days', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1_000],
    ['ms', 1],
  ],
  bytes: [
    ['TiB', 2 ** 40],
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
    ['bytes', 1],
  ],
  seconds: [['s', 1]],
  descriptor: [['', 1]],
}

/** A number with its unit: the largest that gives a whole number. */
function amount(value: number, unit: string): string {
  const [name, size] = SCALES[unit]?.find(([, size]) => value > 0 && value % size === 0) ?? [
    SCALES[unit]?.at(-1)?.[0] ?? '',
    1,
  ]
  const number = (value / size).toLocaleString('en-US')
  return `${number} ${name === 'days' && number === '1' ? 'day' : name}`.trim()
}

/** A Markdown table, its columns padded as prettier pads them. */
function table(rows: readonly Row[]): string {
  const cells = rows.map(({ key, value, default: fallback }) => {
    const { means, why = '' } = configReference[key as ConfigKey]
    return [`\`${key}\``, value, fallback, means, why]
  })
  const lines = [['key', 'value', 'default', 'meaning', 'reason for the default'], ...cells]
  const widths =
    lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? []
  const row = (line: readonly string[]) =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  const [head = [], ...body] = lines
  return [row(head), row(widths.map((width) => '-'.repeat(width))), ...body.map(row)].join('\n')
}
