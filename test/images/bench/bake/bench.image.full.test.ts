// Two bakes share only their downloads, and both give the same bytes as the cached disk.
// Their folders (one with a blank and a comma in its name), time zones, locales and umasks differ.
// A change of the server alone changes a small part of the disk.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { benchBake } from '../../../../images/bench/bake/bench.ts'
import { project } from '../../../kit/images/baked.ts'

test('bakes agree on every byte, and a change of the server changes few of them', async () => {
  const { specFile, lockFile, localLockFile: relockInto, cacheDir, serverEntry, imagesDir: outDir } = project
  const found = await benchBake({
    specFile,
    lockFile,
    relockInto,
    cacheDir,
    serverEntry,
    outDir,
    onProgress: () => {},
    signal: new AbortController().signal,
  })
  assert.equal(found.digests[0], found.digests[1])
  assert.equal(found.digestsEqual, true)
  assert.ok(found.deltaBlocks > 0)
  assert.ok(found.deltaBlocksShare <= 0.25, `${found.deltaBlocks} of ${found.blocks} blocks changed`)
})
