// A program without its symbols is shorter and still runs. Any other file is an error.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { withoutSymbols } from '../../../images/formats/elf.ts'
import { folderFor } from '../../kit/queue/embedded-harness.ts'

test('Node without its symbols is smaller, runs, and loads native modules', (t) => {
  const whole = readFileSync(process.execPath)
  const short = withoutSymbols(whole)
  assert.ok(short.length < whole.length, `${short.length} of ${whole.length} bytes`)
  const file = join(folderFor(t), 'node')
  writeFileSync(file, short, { mode: 0o755 })
  const lmdb = import.meta.resolve('lmdb')
  const script = `import(${JSON.stringify(lmdb)}).then(({ open }) => console.log(typeof open, process.version))`
  assert.equal(execFileSync(file, ['--eval', script], { encoding: 'utf8' }), `function ${process.version}\n`)
  assert.deepEqual(withoutSymbols(short), short)
})

test('a file that is no 64-bit ELF program is an error', () => {
  for (const content of ['', '#!/bin/sh\n', '\x7fELF\x01\x01'])
    assert.throws(() => withoutSymbols(Buffer.from(content, 'latin1')), /not a 64-bit little-endian ELF/)
})
