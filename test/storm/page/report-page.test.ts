// The report page: well-formed, loads nothing, has the report's figures, and escapes all text of the report.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { renderStartPage } from '../../../storm/page/report-page.ts'
import { sampleReport as report } from '../../kit/fleet/sample-report.ts'

const VOID = new Set(['meta', 'br'])

/** What a reader without scripts gets. */
const withoutScripts = (page: string) => page.replace(/<script[\s\S]*?<\/script>/g, '')

/** Checks that the page's tags open and close in order. Returns how often each occurs. */
function checkTags(page: string): Map<string, number> {
  const open: string[] = []
  const counts = new Map<string, number>()
  for (const [, end, name = ''] of withoutScripts(page)
    .replace(/<style>[\s\S]*?<\/style>/, '')
    .matchAll(/<(\/?)([a-z][a-z0-9]*)\b([^>]*)>/g)) {
    if (end === '/') {
      assert.equal(open.pop(), name, `</${name}> closes something else`)
      continue
    }
    counts.set(name, (counts.get(name) ?? 0) + 1)
    if (!VOID.has(name)) open.push(name)
  }
  assert.deepEqual(open, [])
  return counts
}

const html = renderStartPage(report)

test('the page is well-formed', () => {
  const counts = checkTags(html)
  assert.equal(counts.get('figure'), 5)
  assert.equal(counts.get('table'), 2)
  assert.equal(counts.get('h1'), 1)
})

test('the page loads nothing', () => {
  for (const forbidden of [/https?:/, /<link/, /\bsrc=/, /\bhref=/, /url\(/, /@import/, /\son[a-z]+=/]) {
    assert.doesNotMatch(withoutScripts(html), forbidden)
  }
  for (const forbidden of [/\bfetch\(/, /XMLHttpRequest/, /WebSocket/, /\bimport\(/, /sendBeacon/]) {
    assert.doesNotMatch(html, forbidden)
  }
})

test('text of the report cannot end a script element or add one', () => {
  const starts = [...html.matchAll(/<script/gi)].length
  assert.equal(starts, 2)
  assert.equal([...html.matchAll(/<\/script/gi)].length, starts)
  const data = /<script type="application\/json" id="chart-data">(.*?)<\/script>/.exec(html)?.[1] ?? ''
  const { events } = JSON.parse(data) as { events: { text: string }[] }
  assert.equal(events[1]?.text, '2.3 s, 4 → 5 instances, demand <script>alert("1")</script> & more')
})

test('the page escapes the text of the report, and each figure is a number', () => {
  assert.match(html, /demand &#60;script&#62;alert\(&#34;1&#34;\)&#60;\/script&#62; &#38; more/)
  assert.doesNotMatch(withoutScripts(html), /NaN|undefined|Infinity|null/)
})

test('the page carries the licence of its chart library', () => {
  const license = readFileSync(new URL(import.meta.resolve('uplot/LICENSE')), 'utf8')
  assert.ok(html.includes(license.trim()))
})

test('the page shows the figures without its scripts', () => {
  const page = withoutScripts(html)
  for (const figure of ['12,345', '678', '921 ms', '2.58 s', '4 → 1', '57 %', '3.8 times']) {
    assert.ok(page.includes(figure), figure)
  }
  assert.match(page, /<time datetime="2026-08-17T04:09:00.000Z">2026-08-17 04:09 UTC</)
})

test('each chart has a title and a description as text', () => {
  for (const id of ['load', 'demand', 'instances', 'delay', 'processors']) {
    assert.match(withoutScripts(html), new RegExp(`<h3 id="${id}-title">[A-Z]`))
    assert.match(withoutScripts(html), new RegExp(`<p id="${id}-description">[^<]{20,}`))
  }
})

test('image and boot appear when the report has them', () => {
  assert.doesNotMatch(withoutScripts(html), /First forward|network cut/)
  const whole = renderStartPage({
    ...report,
    image: { digest: 'ab'.repeat(32), bytes: 258_000_000, cached: true },
    boot: { accel: 'tcg', secondsToFirstForward: 21.34, bytesRead: 64_000_000, networkCut: true },
    seconds: 143.2,
  })
  checkTags(whole)
  for (const text of ['ab'.repeat(32), '258 MB', '21.3 s', 'TCG', '143 s', '✓ booted with the network cut']) {
    assert.ok(whole.includes(text), text)
  }
})

test('the page names each failed check', () => {
  const bad = renderStartPage({
    ...report,
    fleet: { ...report.fleet, maxInstances: 1 },
    mail: { ...report.mail, lost: 3, resets: 1 },
    scaleEvents: [],
    timeline: [],
  })
  checkTags(bad)
  for (const text of [
    '✗ 3 accepted messages were lost',
    '✗ 1 connections were reset',
    '✗ the fleet did not scale out',
  ]) {
    assert.ok(bad.includes(text), text)
  }
  assert.doesNotMatch(withoutScripts(bad), /NaN|undefined|Infinity/)
})
