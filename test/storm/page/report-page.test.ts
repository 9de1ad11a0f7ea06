// The report page: well-formed, self-contained, true to the report, and safe with whatever text a report carries.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { area, line, niceTicks, timeTicks } from '../../../storm/page/chart.ts'
import { renderStartPage } from '../../../storm/page/report-page.ts'
import { sampleReport as report } from '../../kit/fleet/sample-report.ts'

const VOID = new Set(['meta', 'br', 'line', 'rect', 'circle', 'path'])

/** The page's tags open and close in order; returns how often each occurs. */
function checkTags(html: string): Map<string, number> {
  const open: string[] = []
  const counts = new Map<string, number>()
  for (const [, end, name = '', rest = ''] of html
    .replace(/<style>[\s\S]*?<\/style>/, '')
    .matchAll(/<(\/?)([a-z][a-z0-9]*)\b([^>]*)>/g)) {
    if (end === '/') {
      assert.equal(open.pop(), name, `</${name}> closes something else`)
      continue
    }
    counts.set(name, (counts.get(name) ?? 0) + 1)
    if (!rest.endsWith('/') && !(VOID.has(name) && name !== 'rect')) open.push(name)
  }
  assert.deepEqual(open, [])
  return counts
}

const html = renderStartPage(report)

test('the page is well-formed', () => {
  const counts = checkTags(html)
  assert.equal(counts.get('svg'), 5)
  assert.equal(counts.get('table'), 2)
  assert.equal(counts.get('h1'), 1)
})

test('the page loads nothing and needs no script', () => {
  for (const forbidden of [/https?:/, /<script/, /\bsrc=/, /\bhref=/, /url\(/, /@import/, /\son[a-z]+=/]) {
    assert.doesNotMatch(html, forbidden)
  }
})

test('the page holds no text that is not escaped, and no hole in the numbers', () => {
  assert.match(html, /demand &#60;script&#62;alert\(&#34;1&#34;\)&#60;\/script&#62; &#38; more/)
  assert.doesNotMatch(html, /NaN|undefined|Infinity|null/)
})

test('the page shows the figures', () => {
  for (const figure of ['12,345', '678', '921 ms', '2.58 s', '4 → 1', '57 %', '3.8 times']) {
    assert.ok(html.includes(figure), figure)
  }
  assert.match(html, /<time datetime="2026-08-17T04:09:00.000Z">2026-08-17 04:09 UTC</)
})

test('every chart can be read without seeing it', () => {
  for (const id of ['load', 'backlog', 'instances', 'delay', 'processors']) {
    assert.match(html, new RegExp(`<h3 id="${id}-title">`))
    assert.match(html, new RegExp(`<svg [^>]*role="img" aria-labelledby="${id}-title ${id}-description"`))
    assert.match(html, new RegExp(`<desc id="${id}-description">[^<]{20,}`))
  }
})

test('time axes are aligned: the same moment is at the same place in every chart', () => {
  const charts = [...html.matchAll(/<svg[\s\S]*?<\/svg>/g)].map(([svg]) =>
    [...svg.matchAll(/<line class="event [^"]*" x1="([^"]+)"/g)].map(([, x]) => x),
  )
  assert.equal(charts[0]?.length, report.scaleEvents.length)
  for (const events of charts) assert.deepEqual(events, charts[0])
})

test('image and boot appear when the report has them', () => {
  assert.doesNotMatch(html, /First forward|network cut/)
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

test('the page says so when something went wrong', () => {
  const bad = renderStartPage({
    ...report,
    fleet: { ...report.fleet, maxInstances: 1 },
    mail: { ...report.mail, lost: 3, resets: 1 },
    scaleEvents: [],
    timeline: [],
  })
  checkTags(bad)
  for (const text of [
    '✗ 3 accepted messages lost',
    '✗ 1 connections reset',
    '✗ the fleet did not scale out',
  ]) {
    assert.ok(bad.includes(text), text)
  }
  assert.doesNotMatch(bad, /NaN|undefined|Infinity/)
})

test('a period without data is a gap in lines and areas, not a zero', () => {
  const plot = { x: (atMs: number) => atMs, y: (value: number) => value, top: 0, bottom: 0 }
  const points = [1, 2, null, 4, 5].map((value, index) => ({ atMs: index, value }))
  assert.match(line(plot, points, 'a'), / d="M0 1L1 2M3 4L4 5"/)
  assert.match(area(plot, points, null, 'a'), / d="M0 1L1 2L1 0L0 0ZM3 4L4 5L4 0L3 0Z"/)
  assert.equal(area(plot, [], null, 'a'), '')
})

test('ticks: round steps from 0 to at least the maximum', () => {
  assert.deepEqual(niceTicks(300, 4, false), [0, 100, 200, 300])
  assert.deepEqual(niceTicks(301, 4, false), [0, 100, 200, 300, 400])
  assert.deepEqual(niceTicks(0.9, 4, false), [0, 0.5, 1])
  assert.deepEqual(niceTicks(5, 8, true), [0, 1, 2, 3, 4, 5])
  assert.deepEqual(niceTicks(0, 4, true), [0, 1])
})

test('ticks of time: few enough labels to be read', () => {
  assert.deepEqual(timeTicks(12_000), [0, 5000, 10_000])
  assert.ok(timeTicks(3_600_000).length <= 15)
})
