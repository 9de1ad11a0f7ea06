// Errors before anything is made: an invalid spec, an invalid lock, packages that are gone.
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { InputError } from '../../../input/problems.ts'
import { buildImage } from '../../../images/bake/bake.ts'
import { MissingPackagesError } from '../../../images/archive/fetch.ts'
import { readLock, writeLock } from '../../../images/lock-file.ts'
import { debOf } from '../../kit/images/fake-locks.ts'

const root = join(import.meta.dirname, '../../..')
const specFile = join(root, 'images/image.yaml')
const committed = readLock(join(root, 'images/image.lock.json'))

/** A mirror without any package. */
const server = createServer((_, response) => response.writeHead(404).end())
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
after(() => server.close())
process.env['MAILFLEET_MIRROR'] = `http://127.0.0.1:${(server.address() as AddressInfo).port}/debian`

function newBuild() {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-build-'))
  return {
    specFile,
    lockFile: join(folder, 'image.lock.json'),
    cacheDir: join(folder, 'cache'),
    outDir: join(folder, 'images'),
    serverEntry: join(root, 'server/main.ts'),
  }
}

test('a missing and an invalid lock are errors that name the file, and nothing is written', async () => {
  const build = newBuild()
  await assert.rejects(
    buildImage(build),
    (error) => error instanceof InputError && error.file === build.lockFile,
  )
  writeFileSync(build.lockFile, '{"format": 1}')
  await assert.rejects(
    buildImage(build),
    (error) => error instanceof InputError && error.problems.length === 7,
  )
  assert.deepEqual([existsSync(build.outDir), existsSync(build.cacheDir)], [false, false])
})

test('a lock for another spec or for other npm packages is an error', async () => {
  const build = newBuild()
  writeLock(build.lockFile, { ...committed, spec: '0'.repeat(64), native: [] })
  await assert.rejects(buildImage(build), (error) => {
    assert.ok(error instanceof InputError)
    assert.deepEqual(
      error.problems.map(({ key }) => key),
      ['spec', 'native'],
    )
    return true
  })
})

test('the error lists all locked packages that no source has, and no image appears', async () => {
  const build = newBuild()
  const [gone, lost] = [debOf('gone', '1.0'), debOf('lost', '2.0')]
  writeLock(build.lockFile, { ...committed, root: [gone], kernel: lost, tools: [gone] })
  await assert.rejects(buildImage(build), (error) => {
    assert.ok(error instanceof MissingPackagesError)
    assert.deepEqual(error.missing.map(({ file }) => file.name).sort(), ['gone', 'lost'])
    return true
  })
  assert.equal(existsSync(build.outDir), false)
  assert.deepEqual(readdirSync(join(build.cacheDir, 'tmp')), [])
})
