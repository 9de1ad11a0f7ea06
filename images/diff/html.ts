// A comparison of two images as one HTML page without script or network. Pure.
// Owns its markup, and escapes all text from an image.
import { SECTIONS, type Change, type Diff, type SectionName } from './compare.ts'
import { counts, packageOf } from './text.ts'

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1c2330 }
code, td { font-family: ui-monospace, monospace; font-size: 13px; overflow-wrap: anywhere }
details { border-top: 1px solid #d5dae3; padding: .4rem 0 } details details { margin-left: 1.2rem }
summary { cursor: pointer } table { border-collapse: collapse; width: 100% }
td { padding: .15rem .6rem .15rem 0; vertical-align: top } .added { color: #116329 } .removed { color: #a40e26 }
.no { background: #ffebe9; padding: .6rem 1rem } .yes { background: #dafbe1; padding: .6rem 1rem }
@media (prefers-color-scheme: dark) { body { background: #12161d; color: #dde3ee } .no { background: #4a1418 }
.yes { background: #12391f } .added { color: #6fdd8b } .removed { color: #ff9a9a } }
`

/** @param violated the violations of the policy; undefined without a policy */
export function diffPage(diff: Diff, violated: readonly string[] | undefined): string {
  const sections = (Object.keys(SECTIONS) as SectionName[]).map((name) => sectionOf(name, diff.changes[name]))
  const missing = [...new Set(diff.notBooted.map((side) => diff[side]))].map(
    (digest) =>
      `<p>${escaped(digest.slice(0, 12))} has no receipt of this boot test: npx mailfleet image test</p>`,
  )
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Golden image: what changes</title><style>${STYLE}</style>
<h1>Golden image: what changes</h1>
<p>before <code>${escaped(diff.before)}</code><br>after <code>${escaped(diff.after)}</code></p>
${verdict(violated)}${missing.join('')}
${sections.join('\n')}
</html>
`
}

function verdict(violated: readonly string[] | undefined): string {
  if (violated === undefined) return ''
  if (violated.length === 0) return '<p class="yes">The policy allows it.</p>'
  const items = violated.map((violation) => `<li>${escaped(violation)}</li>`)
  return `<div class="no">The policy forbids:<ul>${items.join('')}</ul></div>`
}

function sectionOf(name: SectionName, changes: readonly Change[] | null): string {
  const title = escaped(SECTIONS[name])
  if (changes === null) return `<p class="no">${title}: not compared</p>`
  if (changes.length === 0) return `<details><summary>${title}: no change</summary></details>`
  const inside =
    name === 'files'
      ? [...Map.groupBy(changes, packageOf)]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(
            ([owner, group]) =>
              `<details><summary>${escaped(owner)}: ${counts(group)}</summary>${table(group)}</details>`,
          )
          .join('')
      : table(changes)
  const open = changes.length <= 20 && name !== 'files' ? ' open' : ''
  return `<details${open}><summary><b>${title}</b>: ${counts(changes)}</summary>${inside}</details>`
}

function table(changes: readonly Change[]): string {
  const rows = changes.map(
    ({ key, kind, before, after, lines }) =>
      `<tr class="${kind}"><td>${kind}<td>${escaped(key)}${lines === undefined ? '' : linesOf(lines)}<td>${escaped(before ?? '')}<td>${escaped(after ?? '')}</tr>`,
  )
  return `<table>${rows.join('')}</table>`
}

const linesOf = (lines: readonly string[]) =>
  lines
    .map((line) => `<br><span class="${line.startsWith('+') ? 'added' : 'removed'}">${escaped(line)}</span>`)
    .join('')

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
const escaped = (text: string) => text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
