// A setting that is accepted is also read.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sourceFiles } from '../kit/source-tree.ts'
import { unreadSettings } from '../kit/unread-settings.ts'

const inFolder = (folder: string) => sourceFiles.filter((file) => file.startsWith(`${folder}/`))

test('the server reads each key of its configuration', () => {
  const schema = ['server/config/schema.ts', 'server/config/srs.ts']
  assert.deepEqual(unreadSettings(schema, inFolder('server')), [])
})

test('the stack’s program reads each key of the stack’s configuration', () => {
  const schema = ['infra/stack-config.ts', 'infra/scaling/policy.ts']
  assert.deepEqual(unreadSettings(schema, inFolder('infra')), [])
})
