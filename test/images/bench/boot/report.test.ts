// The arithmetic of the boot benchmark, and its list of missed goals.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { format } from 'prettier'
import {
  bootReport,
  figures,
  median,
  shortfalls,
  type Findings,
} from '../../../../images/bench/boot/report.ts'
import { bootMarkdown, bootText } from '../../../../images/bench/boot/report-text.ts'

const boot = (secondsToFirstForward: number, blocksRead: number) => ({
  secondsToFirstForward,
  blocksRead,
  bytesRead: blocksRead * 400_000,
})
const findings: Findings = {
  accel: 'tcg',
  cpus: 2,
  digest: 'd'.repeat(64),
  conventionalLocked: true,
  golden: [boot(25, 100), boot(20, 101), boot(40, 102)],
  preinstalled: [boot(80, 400), boot(75, 404), boot(70, 404)],
  installAtBoot: [boot(500, 900)],
  broken: { served: false, secondsToGiveUp: 90, reasons: ['Depends: libc6 (>= 99)'] },
  goldenServed: true,
  goldenRequests: 0,
}

test('a figure is the median of what was seen, with its spread', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 2, 3]), 2)
  assert.throws(() => median([]), RangeError)
  const { secondsToFirstForward, spreadSeconds, allSeconds, guestInstructions } = figures(findings.golden)
  assert.deepEqual(
    { secondsToFirstForward, spreadSeconds, allSeconds, guestInstructions },
    { secondsToFirstForward: 25, spreadSeconds: 20, allSeconds: [25, 20, 40], guestInstructions: null },
  )
})

test('seconds compare as other ÷ golden, blocks as golden ÷ pre-installed', () => {
  const report = bootReport(findings)
  assert.deepEqual(report.ratios, { preinstalled: 3, installAtBoot: 20, blocks: 0.25 })
  assert.deepEqual(report.brokenPackage, {
    installAtBootServed: false,
    goldenServed: true,
    goldenRequests: 0,
    reasons: ['Depends: libc6 (>= 99)'],
  })
  assert.deepEqual(shortfalls(report), [])
})

test('each goal that is missed is named', () => {
  const missed = bootReport({
    ...findings,
    golden: [boot(40, 200)],
    broken: { served: true },
    goldenServed: false,
    goldenRequests: 2,
  })
  assert.deepEqual(
    shortfalls(missed).map((line) => line.split(' ').slice(0, 3).join(' ')),
    ['1.88 × faster', '0.5 of the', 'the installation with', 'the golden image', 'the golden image'],
  )
})

test('words for people have every figure, and say what emulated seconds do not mean', async () => {
  const report = bootReport(findings)
  assert.match(bootText(report, 'build/reports/bench-boot.json'), /pre-installed +75\.0 s.*404 blocks/)
  const section = bootMarkdown(report)
  assert.match(section, /\| pre-installed +\| 75\.0 s +\| 10\.0 s \| 3 +\| 404 +\| 162 MB \| 3 × +\|/)
  assert.match(section, /about 20 s/)
  // The section goes into a document that the formatter checks.
  assert.equal(await format(section, { parser: 'markdown' }), `${section}\n`)
})
