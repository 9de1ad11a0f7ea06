// The text of the bake benchmark.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bakeMarkdown, bakeText } from '../../../../images/bench/bake/report-text.ts'
import type { BakeBench } from '../../../../images/bench/bake/bench.ts'

const found: BakeBench = {
  format: 1,
  createdAt: '2026-01-31T12:00:00.000Z',
  cpus: 2,
  unchangedSeconds: 0.62,
  appOnlySeconds: 4.96,
  fullCachedSeconds: 26.6,
  blocks: 166,
  deltaBlocks: 7,
  deltaBlocksShare: 7 / 166,
  digests: ['a'.repeat(64), 'b'.repeat(64)],
  digestsEqual: false,
}

test('seconds, the share that changes, and whether two bakes agree', () => {
  const lines = bakeText(found, 'build/reports/bench-bake.json')
  for (const words of [
    '0.6 s',
    '5.0 s, 7 of 166 blocks (4.2 %) to upload',
    '26.6 s',
    'aaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbb',
  ])
    assert.ok(lines.includes(words), words)
  assert.match(bakeMarkdown(found), /\| nothing changed +\| 0\.6 s +\|/)
  assert.match(bakeMarkdown(found), /7 of 166 blocks[^]* gave different bytes/)
  assert.match(bakeMarkdown({ ...found, digestsEqual: true }), /gave the same bytes/)
})
