// The report page in a real chromium. It loads nothing and fits a narrow window.
// Its charts show values at the mouse and by the keyboard.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { renderStartPage } from '../../../storm/page/report-page.ts'
import { openInChromium } from '../../kit/fleet/chromium.ts'
import { sampleReport } from '../../kit/fleet/sample-report.ts'

const CHARTS = 5

/** Colours of pixels of a chart's canvas at a time, from top to bottom of the plot, as "r,g,b,a". */
const column = (chart: string, seconds: number) => `(() => {
  const canvas = document.querySelector('#${chart}-chart canvas')
  const [outer, inner] = [canvas, canvas.parentElement.querySelector('.u-over')].map((e) => e.getBoundingClientRect())
  const x = Math.round((inner.left - outer.left + (inner.width * ${seconds}) / 6) * devicePixelRatio)
  const y = Math.round((inner.top - outer.top) * devicePixelRatio)
  const { data } = canvas.getContext('2d').getImageData(x, y, 1, Math.round(inner.height * devicePixelRatio))
  return Array.from({ length: data.length / 4 }, (_, at) => [...data.slice(at * 4, at * 4 + 4)].join())
})()`

/** The legend of a chart: label to value. */
const legend = (chart: string) => `Object.fromEntries(
  [...document.querySelectorAll('#${chart}-chart .u-series')].map((row) =>
    [row.querySelector('.u-label').textContent, row.querySelector('.u-value').textContent]))`

/** Chart and label of each element in a chart that is outside its figure. */
const outside = `[...document.querySelectorAll('figure :is(canvas, .u-legend, .phase-name, .mark, .phase, .event)')]
  .filter((inner) => {
    const [a, b] = [inner.getBoundingClientRect(), inner.closest('figure').getBoundingClientRect()]
    return a.left < b.left - 1 || a.right > b.right + 1
  })
  .map((inner) => inner.className + ' ' + inner.textContent)`

const widths = '[document.documentElement.scrollWidth, innerWidth]'

const page = await openInChromium(renderStartPage(sampleReport))
after(() => page.close())

test('it loads nothing and its script throws nothing', async () => {
  assert.equal(await page.evaluate(`document.querySelectorAll('.chart canvas').length`), CHARTS)
  assert.deepEqual(
    page.requests.filter((url) => !url.endsWith('/page.html')),
    [],
  )
  assert.deepEqual(page.errors, [])
})

for (const width of [1280, 600, 400]) {
  test(`at ${width} px the page does not scroll sideways and nothing leaves its chart`, async () => {
    await page.resize(width, 900)
    assert.deepEqual(await page.evaluate(widths), [width, width])
    assert.deepEqual(await page.evaluate(outside), [])
  })
}

test('at 400 px a chart shrinks and a wide table scrolls inside itself', async () => {
  await page.resize(400, 900)
  const canvas = await page.evaluate<number>(
    `document.querySelector('.chart canvas').getBoundingClientRect().width`,
  )
  assert.ok(canvas > 250 && canvas <= 400, `${canvas} px`)
  const tables = await page.evaluate<boolean[]>(
    `[...document.querySelectorAll('.table')].map((table) => table.scrollWidth > table.clientWidth)`,
  )
  assert.equal(tables.at(-1), true)
  await page.resize(1280, 900)
})

test('phases are bands, and scale events are numbered marks with their reason', async () => {
  const bands = await page.evaluate(
    `[...document.querySelectorAll('#load-chart .phase-name')].map((e) => e.textContent)`,
  )
  assert.deepEqual(bands, ['normal 15/s', 'burst 150/s', 'calm 10/s'])
  for (const [selector, count] of [
    ['.phase', 3 * CHARTS],
    ['.phase.peak', CHARTS],
    ['.event', 3 * CHARTS],
  ] as const) {
    assert.equal(await page.evaluate(`document.querySelectorAll('${selector}').length`), count, selector)
  }
  const marks = await page.evaluate(
    `[...document.querySelectorAll('.mark')].map((e) => e.textContent + ' ' + e.title)`,
  )
  assert.deepEqual(marks, [
    '1 2.0 s, 1 → 4 instances, backlog 300 an instance',
    '2 2.3 s, 4 → 5 instances, demand <script>alert("1")</script> & more',
    '3 5.0 s, 5 → 1 instances, 1 would do',
  ])
})

test('a gap in the data is a gap in the chart', async () => {
  const painted = async (seconds: number) =>
    (await page.evaluate<string[]>(column('processors', seconds))).filter((pixel) => !pixel.endsWith(',0'))
      .length
  const [data, gap] = [await painted(1.5), await painted(3.25)]
  assert.ok(data > 40, `${data} pixels painted where there is data`)
  assert.ok(gap <= 6, `${gap} pixels painted in the gap, where the grid alone may be`)
})

test('a value between two gaps is a dot', async () => {
  const timeline = sampleReport.timeline.map((row, index) => ({
    ...row,
    cpuIdle: index === 2 ? 0.5 : null,
  }))
  const sparse = await openInChromium(renderStartPage({ ...sampleReport, timeline }))
  try {
    const pixels = await sparse.evaluate<string[]>(column('processors', 3))
    // --idle of the light scheme.
    assert.ok(pixels.includes('107,122,31,255'), [...new Set(pixels)].join(' '))
  } finally {
    await sparse.close()
  }
})

test('the mouse over one chart shows the values of that moment in all charts', async () => {
  const [x = 0, y = 0] = await page.evaluate<number[]>(`(() => {
    const over = document.querySelector('#load-chart .u-over')
    over.scrollIntoView({ block: 'center' })
    const { left, top, width, height } = over.getBoundingClientRect()
    return [left + (width * 2.05) / 6, top + height / 2]
  })()`)
  await page.moveMouse(x - 5, y)
  await page.moveMouse(x, y)
  assert.deepEqual(await page.evaluate(legend('load')), {
    Time: '2.0 s',
    'new mail': '10',
    'retries after a 4xx': '280',
    'accepted (250)': '10',
    forwarded: '10',
  })
  assert.deepEqual(await page.evaluate(legend('delay')), { Time: '2.0 s', p99: '300 ms', p50: '250 ms' })
  assert.deepEqual(await page.evaluate(legend('processors')), { Time: '2.0 s', idle: '80 %' })
})

test('arrow keys, Home and End move the cursor of all charts and announce the values', async () => {
  const spoken = () => page.evaluate<string>(`document.getElementById('chart-values').textContent`)
  // The page may scroll away from under the mouse, which would clear the cursor.
  await page.moveMouse(0, 0)
  await page.evaluate(`document.getElementById('instances-chart').focus()`)
  assert.equal(await page.evaluate('document.activeElement.id'), 'instances-chart')
  await page.pressKey('Home')
  assert.equal(await spoken(), '1.0 s. in service: 1, desired: 1.')
  await page.pressKey('ArrowRight')
  assert.match(
    await spoken(),
    /^2\.0 s\. in service: 1, desired: 4\. Scale event 1: .*backlog 300 an instance\.$/,
  )
  assert.equal((await page.evaluate<Record<string, string>>(legend('delay')))['p99'], '300 ms')
  await page.pressKey('End')
  assert.match(await spoken(), /^5\.0 s\./)
  await page.pressKey('ArrowRight')
  assert.match(await spoken(), /^5\.0 s\./)
  await page.pressKey('ArrowLeft')
  assert.match(await spoken(), /^4\.0 s\./)
  assert.equal(await page.evaluate(`document.getElementById('chart-values').ariaLive`), 'polite')
})

test('each chart can have the focus and has a name and a description', async () => {
  const charts = await page.evaluate<{ focusable: boolean; name: string; description: string }[]>(`
    [...document.querySelectorAll('.chart')].map((chart) => ({
      focusable: chart.tabIndex === 0,
      name: document.getElementById(chart.getAttribute('aria-labelledby')).textContent,
      description: document.getElementById(chart.getAttribute('aria-describedby').split(' ')[0]).textContent,
    }))`)
  assert.equal(charts.length, CHARTS)
  for (const { focusable, name, description } of charts) {
    assert.ok(focusable && name.length > 3 && description.length > 20, name)
  }
})

test('the dark colour scheme changes the page and the colours in the canvas', async () => {
  const look = async (scheme: 'light' | 'dark') => {
    await page.colorScheme(scheme)
    const background = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor')
    return { background, pixels: (await page.evaluate<string[]>(column('processors', 1.5))).join(' ') }
  }
  const [light, dark] = [await look('light'), await look('dark')]
  assert.deepEqual([light.background, dark.background], ['rgb(246, 247, 249)', 'rgb(17, 21, 27)'])
  // --idle-fill of each scheme.
  assert.match(light.pixels, /238,242,211,255/)
  assert.match(dark.pixels, /48,54,27,255/)
})

test('without scripts the figures, tables, titles and descriptions are there', async () => {
  await page.reloadWithoutScripts()
  const { text, canvases } = await page.evaluate<{ text: string; canvases: number }>(
    `({ text: document.body.innerText, canvases: document.querySelectorAll('canvas').length })`,
  )
  assert.equal(canvases, 0)
  for (const part of [
    '12,345',
    'The charts need a script.',
    'The 99th percentile',
    'backlog 300 an instance',
  ]) {
    assert.ok(text.includes(part), part)
  }
  assert.equal(await page.evaluate(`document.querySelectorAll('tbody tr').length`), 3 + 5)
})
