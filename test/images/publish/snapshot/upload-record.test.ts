// The record of an upload: believed for its own snapshot only, and never a reason to fail.
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { uploadRecord } from '../../../../images/publish/snapshot/upload-record.ts'

const folder = mkdtempSync(join(tmpdir(), 'mailfleet-record-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const of = (snapshotId: string, region = 'eu-west-1') => uploadRecord(folder, { region, snapshotId })

test('what was added and saved is known to the next run, of the same snapshot and region', () => {
  const first = of('snap-1')
  for (const index of [3, 1]) first.add(index)
  assert.deepEqual(readdirSync(folder), [])
  first.save()
  assert.deepEqual([1, 2, 3].map(of('snap-1').has), [true, false, true])
  assert.equal(of('snap-2').has(1), false)
  assert.equal(of('snap-1', 'us-east-1').has(1), false)
  of('snap-1').forget()
  assert.deepEqual(readdirSync(folder), [])
  assert.equal(of('snap-1').has(1), false)
})

test('it is saved now and then, not only when it is told to', () => {
  const first = of('snap-3')
  for (let index = 0; index < 100; index++) first.add(index)
  const next = of('snap-3')
  assert.ok(next.has(50))
  assert.ok(!next.has(99))
  first.forget()
})

test('half a record, or another kind, is none', () => {
  for (const text of ['', '{"format": 1, "snapsh', '{"format": 2}', '[]']) {
    writeFileSync(join(folder, 'upload.eu-west-1.json'), text)
    assert.equal(of('snap-1').has(1), false)
  }
})
