// The order of Debian's versions, compared with dpkg's.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { compareVersions } from '../../../images/lock/version.ts'

const versions = [
  '1.0',
  '1.0-0',
  '1.0-1',
  '1.0-1+b1',
  '1.0-1+deb13u1',
  '1.0-1~bpo12+1',
  '1.0~rc1-1',
  '1.0.1',
  '1.00',
  '1:0.9',
  '1.0a',
  '1.0+git1',
  '1.10',
  '1.9',
  '2.41-12+deb13u5',
  '2.41-12',
  '6.12.118+1',
  '6.12.118-1',
]

test('every pair compares as in dpkg', () => {
  for (const a of versions) {
    for (const b of versions) {
      const order = Math.sign(compareVersions(a, b))
      const relation = { '-1': 'lt', '0': 'eq', '1': 'gt' }[String(order)] ?? ''
      const { status } = spawnSync('dpkg', ['--compare-versions', a, relation, b])
      assert.equal(status, 0, `${a} ${relation} ${b}`)
    }
  }
})
