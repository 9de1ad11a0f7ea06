// The report page in a real browser: it loads nothing, fits the window, and no label leaves its chart.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { renderStartPage } from '../../../storm/page/report-page.ts'
import { sampleReport } from '../../kit/fleet/sample-report.ts'

type Measured = {
  charts: number
  requests: string[]
  scrollWidth: number
  windowWidth: number
  outside: string[]
  unreadable: string[]
}

/** Runs inside the page; what it finds is left in the document for `--dump-dom`. */
const measure = `
const inside = (inner, outer) => inner.left >= outer.left - 1 && inner.right <= outer.right + 1
const labels = [...document.querySelectorAll('svg text')]
const outside = labels.filter((text) => !inside(text.getBoundingClientRect(), text.closest('svg').getBoundingClientRect()))
const small = labels.filter((text) => text.getBoundingClientRect().height < 7)
const measured = {
  charts: document.querySelectorAll('svg').length,
  requests: performance.getEntriesByType('resource').map(({ name }) => name),
  scrollWidth: document.documentElement.scrollWidth,
  windowWidth: window.innerWidth,
  outside: outside.map((text) => text.textContent),
  unreadable: small.map((text) => text.textContent),
}
document.body.append('MEASURED' + JSON.stringify(measured) + 'MEASURED')
`

function look(width: number): Measured {
  const folder = mkdtempSync(join(tmpdir(), 'browser-'))
  try {
    const file = join(folder, 'start.html')
    writeFileSync(
      file,
      renderStartPage(sampleReport).replace('</body>', `<script>${measure}</script></body>`),
    )
    const options = [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
      `--user-data-dir=${join(folder, 'profile')}`,
      `--window-size=${width},900`,
      '--dump-dom',
      `file://${file}`,
    ]
    const { stdout, stderr } = spawnSync('chromium', options, { encoding: 'utf8', timeout: 60_000 })
    const found = /MEASURED(\{.*\})MEASURED/.exec(stdout.replaceAll('&amp;', '&'))?.[1]
    assert.ok(found, stderr)
    return JSON.parse(found) as Measured
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

for (const [name, width] of [
  ['a desktop window', 1280],
  ['a narrow window', 600],
] as const) {
  test(`the report page in ${name}`, () => {
    const { charts, requests, scrollWidth, windowWidth, outside } = look(width)
    assert.ok(charts >= 4, `${charts} charts`)
    assert.deepEqual(requests, [])
    assert.ok(scrollWidth <= windowWidth, `${scrollWidth} px wide in a window of ${windowWidth}`)
    assert.deepEqual(outside, [])
  })
}

test('labels are large enough to read on a desktop', () => {
  assert.deepEqual(look(1280).unreadable, [])
})
