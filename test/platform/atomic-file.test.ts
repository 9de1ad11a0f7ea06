// Atomic writes on a real disk: what a reader finds, what is flushed, and what is left after a failure.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import {
  createFileAtomic,
  makeFolder,
  moveIntoPlace,
  replaceSymlink,
  writeFileAtomic,
} from '../../platform/atomic-file.ts'

const MODULE = join(import.meta.dirname, '../../platform/atomic-file.ts')

function temporary(t: TestContext): string {
  const folder = fs.mkdtempSync(join(tmpdir(), 'atomic-file-'))
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('a write replaces the content and leaves no temporary file', (t) => {
  const folder = temporary(t)
  const file = join(folder, 'report.json')
  writeFileAtomic(file, 'old')
  writeFileAtomic(file, 'new', { mode: 0o600 })
  assert.equal(fs.readFileSync(file, 'utf8'), 'new')
  assert.equal(fs.statSync(file).mode & 0o777, 0o600)
  assert.deepEqual(fs.readdirSync(folder), ['report.json'])
})

test('a write of the same content does not touch the file', (t) => {
  const file = join(temporary(t), 'report.json')
  writeFileAtomic(file, 'same')
  const { ino } = fs.statSync(file)
  writeFileAtomic(file, 'same')
  assert.equal(fs.statSync(file).ino, ino)
})

test('a write that fails leaves the old content and no temporary file', (t) => {
  const folder = temporary(t)
  fs.mkdirSync(join(folder, 'taken'))
  assert.throws(() => writeFileAtomic(join(folder, 'taken'), 'x'))
  assert.deepEqual(fs.readdirSync(folder), ['taken'])
})

test('a file that exists is never replaced by createFileAtomic', (t) => {
  const folder = temporary(t)
  const file = join(folder, 'key.pem')
  assert.equal(createFileAtomic(file, 'first', { mode: 0o600 }), true)
  assert.equal(createFileAtomic(file, 'second'), false)
  assert.equal(fs.readFileSync(file, 'utf8'), 'first')
  assert.deepEqual(fs.readdirSync(folder), ['key.pem'])
})

test('every kind of write flushes the data and then the folder', (t) => {
  const folder = temporary(t)
  const program = `
    const { createFileAtomic, writeFileAtomic } = await import(${JSON.stringify(MODULE)})
    writeFileAtomic(process.argv[1] + '/written', 'x')
    createFileAtomic(process.argv[1] + '/created', 'x')`
  const argv = [
    '-f',
    '-y',
    '-e',
    'trace=fsync,rename,link',
    process.execPath,
    '--input-type=module',
    '-e',
    program,
  ]
  const { stderr, status } = spawnSync('strace', [...argv, folder], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  const calls = [...stderr.matchAll(/(fsync|rename|link)\([^\n]*/g)]
    .filter(([line]) => line.includes(folder))
    .map(([line, call]) =>
      call === 'fsync' ? (line.includes('.tmp>') ? 'flush data' : 'flush folder') : call,
    )
  const file = (call: string) => ['flush data', call, 'flush folder']
  assert.deepEqual(calls, [...file('rename'), ...file('link')])
})

test('a symbolic link is replaced in one step', (t) => {
  const folder = temporary(t)
  const link = join(folder, 'latest')
  replaceSymlink('one', link)
  replaceSymlink('two', link)
  assert.equal(fs.readlinkSync(link), 'two')
  assert.deepEqual(fs.readdirSync(folder), ['latest'])
})

test('a folder moves into place once; the first one stays', (t) => {
  const folder = temporary(t)
  for (const name of ['first', 'second']) {
    fs.mkdirSync(join(folder, name))
    fs.writeFileSync(join(folder, name, 'content'), name)
  }
  assert.equal(moveIntoPlace(join(folder, 'first'), join(folder, 'a/b/stage')), true)
  assert.equal(moveIntoPlace(join(folder, 'second'), join(folder, 'a/b/stage')), false)
  assert.equal(fs.readFileSync(join(folder, 'a/b/stage/content'), 'utf8'), 'first')
})

test('a folder that cannot be made is an error, also below /proc', () => {
  assert.throws(() => makeFolder('/proc/mailfleet/spool'), { code: 'ENOENT' })
})
