// A dry run: counted from the disk, without an account, and the gate's verdict with it.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { surveyImage, type SurveyedImage } from '../../../images/publish/gate.ts'
import { planPublish } from '../../../images/publish/plan.ts'
import { projectAt } from '../../../scripts/project.ts'
import { imagePublishPlan } from '../../../scripts/commands/image/publish.ts'
import { BLOCK, madeUpImage, RECEIPT_KEYS, STORED } from '../../kit/images/fake-image.ts'

const STRICT = {
  allowUnlocked: false,
  allowVolatile: false,
  verify: 'none' as const,
  receiptKeys: RECEIPT_KEYS,
}

test('the arithmetic: a thousand blocks cost $0.006 to put, a GiB $0.05 a month to keep', async () => {
  const image = await surveyImage(madeUpImage('arithmetic').folder)
  const blocks = Array.from({ length: 4096 }, (_, index) => ({ index, checksum: '' }))
  const large: SurveyedImage = {
    ...image,
    survey: { ...image.survey, bytes: 3 * 1024 ** 3 + 1, blocks },
  }
  const plan = planPublish(large, STRICT)
  assert.deepEqual(
    [plan.blocks, plan.bytes, plan.volumeGiB, plan.requests],
    [4096, 2 * 1024 ** 3, 4, 4096 + 7],
  )
  assert.deepEqual([plan.requestsUsd, plan.storageUsdPerMonth, plan.costUsd], [0.0246, 0.1, 0.1246])
  const verified = planPublish(large, { ...STRICT, verify: 'all' })
  assert.deepEqual([verified.requests, verified.requestsUsd], [2 * 4096 + 8, 0.0369])
})

test('a dry run needs no account; it writes the plan, and says whether the image may be published', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'mailfleet-plan-'))
  t.after(() => rmSync(root, { recursive: true }))
  const { folder, digest } = madeUpImage('dry', { locked: false })
  const printed = t.mock.method(console, 'log', () => {})
  const signal = new AbortController().signal
  const wish = { copyTo: [], share: [], encrypt: false, ...STRICT }
  const o = { project: projectAt(root), json: false, signal, image: folder, ...wish }
  assert.equal(await imagePublishPlan(o), 0)
  const file = join(root, 'build/reports/publish-plan.json')
  const plan = JSON.parse(readFileSync(file, 'utf8')) as ReturnType<typeof planPublish>
  assert.deepEqual([plan.digest, plan.blocks, plan.bytes], [digest, STORED.length, STORED.length * BLOCK])
  assert.equal(plan.receipt.passes, false)
  assert.match(plan.receipt.problem ?? '', /locked: expected true/)
  const text = String(printed.mock.calls[0]?.arguments[0])
  assert.match(text, /holds {5}4 blocks of 512 KiB, 2 MiB of 4 .*\nupload {4}4 blocks, 2 MiB\n/)
  assert.match(text, /may not be published/)
  assert.equal(await imagePublishPlan({ ...o, allowUnlocked: true, json: true }), 0)
  const json = JSON.parse(String(printed.mock.calls[1]?.arguments[0])) as typeof plan
  assert.deepEqual(json.receipt, { passes: true, problem: null })
})
