// The check of RLIMIT_NOFILE against the configuration: as a table, and with a real process.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { InputError } from '../../input/problems.ts'
import { checkOpenFiles, openFilesLimit } from '../../server/open-files.ts'
import { startServer } from '../kit/server/server-process.ts'

const needs = (connections: number, concurrency: number) => ({
  limits: { connections },
  delivery: { concurrency },
})

test('the limit must fit the connections, two files for each delivery and 200 more', () => {
  checkOpenFiles('file', needs(1_000, 10), 1_220)
  assert.throws(
    () => checkOpenFiles('file', needs(1_000, 10), 1_219),
    (error: Error) => {
      assert.ok(error instanceof InputError)
      assert.match(
        error.message,
        /limits\.connections: expected at most 999 with 1219 open files .*, found 1000/,
      )
      return true
    },
  )
})

test('the limit is read from the kernel’s format', () => {
  const line = 'Limit                     Soft Limit           Hard Limit           Units\n'
  assert.equal(
    openFilesLimit(`${line}Max open files            1024                 4096                 files\n`),
    1_024,
  )
  assert.equal(
    openFilesLimit(`${line}Max open files            unlimited            unlimited            files\n`),
    Infinity,
  )
  assert.ok(openFilesLimit() > 0)
})

test('a server with too few open files exits with 2 and names the key', async () => {
  const instance = await startServer({})
  const program = [
    '--nofile=1024:1024',
    process.execPath,
    'server/main.ts',
    '--config',
    instance.files.config,
  ]
  const ended = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
    execFile('prlimit', program, (error, _stdout, stderr) => resolve({ code: error?.code, stderr }))
  })
  assert.equal(ended.code, 2)
  assert.match(ended.stderr, /limits\.connections: expected at most 804 with 1024 open files/)
  assert.equal(await instance.stop(), 0)
})
