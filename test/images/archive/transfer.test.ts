// The user's own archive, written and read: in a directory, and in a bucket over HTTP.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { startFauxqs, type FauxqsServer } from 'fauxqs'
import { openArchive } from '../../../images/archive/archive.ts'
import { objectKey, objectNameOf } from '../../../images/archive/file-source.ts'
import { pullLocked, pushLocked } from '../../../images/archive/transfer.ts'
import { fetchLocked, objectFile } from '../../../images/archive/fetch.ts'
import { lockedDebs, lockText } from '../../../images/lock-file.ts'
import { debOf, lockOf, npmOf } from '../../kit/images/fake-locks.ts'

const names = Array.from({ length: 12 }, (_, index) => `p${index}`)
const lock = lockOf({ root: names.map((name) => debOf(name)), native: [npmOf('lmdb')] })
const files = [...lockedDebs(lock), lock.node, ...lock.native]
const lockHex = createHash('sha256').update(lockText(lock)).digest('hex')
/** Nothing listens on port 1. */
const mirrors = { debian: 'http://127.0.0.1:1/debian', security: 'http://127.0.0.1:1/security' }

const BUCKET = 'packages'
let s3: FauxqsServer
let client: S3Client
before(async () => {
  s3 = await startFauxqs({ port: 0, host: '127.0.0.1', logger: false })
  process.env['AWS_ENDPOINT_URL_S3'] = `http://127.0.0.1:${s3.port}`
  process.env['AWS_REGION'] = 'eu-west-1'
  process.env['AWS_ACCESS_KEY_ID'] = process.env['AWS_SECRET_ACCESS_KEY'] = 'test'
  process.env['AWS_EC2_METADATA_DISABLED'] = 'true'
  client = new S3Client({ forcePathStyle: true })
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }))
})
after(async () => {
  client.destroy()
  await s3.stop()
})

const newFolder = () => mkdtempSync(join(tmpdir(), 'mailfleet-archive-'))
const options = (cacheDir: string) => ({ cacheDir, dryRun: false, retryDelayMs: 1, onProgress: () => {} })

/** A cache that has every file of the lock. */
function fullCache(): string {
  const cacheDir = join(newFolder(), 'cache')
  for (const file of files) {
    const path = objectFile(cacheDir, file)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, 'sha256' in file ? `${file.name} ${file.version}` : file.name)
  }
  return cacheDir
}

const kinds = {
  'a directory': () => join(newFolder(), 'archive'),
  'a bucket': () => `s3://${BUCKET}/${newFolder().slice(-6)}`,
}
for (const [kind, target] of Object.entries(kinds)) {
  test(`${kind}: pushed once, pulled into an empty cache, baked from without a mirror`, async () => {
    const where = target()
    const archive = await openArchive(where)
    const cacheDir = fullCache()
    const dry = await pushLocked(lock, archive, { ...options(cacheDir), dryRun: true })
    assert.deepEqual([dry.files, dry.moved], [files.length, files.length])
    const first = await pushLocked(lock, archive, options(cacheDir))
    assert.deepEqual([first.moved, first.movedBytes], [files.length, dry.movedBytes])
    assert.equal((await pushLocked(lock, archive, options(cacheDir))).moved, 0)
    const empty = join(newFolder(), 'cache')
    assert.equal((await pullLocked(lock, archive, { ...options(empty), dryRun: true })).moved, files.length)
    assert.equal(existsSync(empty), false)
    assert.equal((await pullLocked(lock, archive, options(empty))).movedBytes, first.movedBytes)
    assert.equal((await pullLocked(lock, archive, options(empty))).moved, 0)
    for (const file of files)
      assert.deepEqual(readFileSync(objectFile(empty, file)), readFileSync(objectFile(cacheDir, file)))
    assert.deepEqual(readdirSync(join(empty, 'tmp')), [])
    const cold = join(newFolder(), 'cache')
    const fetched = await fetchLocked(lock, { cacheDir: cold, mirrors, archive: where })
    assert.equal(fetched.downloaded, files.length)
  })

  test(`${kind}: an interrupted push goes on with what is missing`, async () => {
    const archive = await openArchive(target())
    const cacheDir = fullCache()
    let puts = 0
    const cut: typeof archive = {
      ...archive,
      put: async (object, content) => {
        if (++puts > 5) throw new Error('the line went dead')
        await archive.put(object, content)
      },
    }
    await assert.rejects(pushLocked(lock, cut, options(cacheDir)), /line went dead/)
    const rest = await pushLocked(lock, archive, options(cacheDir))
    assert.equal(rest.moved, files.length - 5)
  })

  test(`${kind}: files that it lacks are all named`, async () => {
    const archive = await openArchive(target())
    await pushLocked(lockOf({ root: lock.root.slice(2) }), archive, options(fullCache()))
    const cacheDir = join(newFolder(), 'cache')
    await assert.rejects(
      pullLocked(lock, archive, options(cacheDir)),
      /^FetchError: the archive lacks 3 files of the lock:\n[^]*(p0|p1|lmdb)[^]*does not have it[^]*archive push/,
    )
    // The files that it has are in the cache.
    assert.equal((await pullLocked(lock, archive, { ...options(cacheDir), dryRun: true })).moved, 3)
  })
}

test('an archive has the cache’s layout and the lock, in a directory and in a bucket', async () => {
  const folder = join(newFolder(), 'archive')
  const cacheDir = fullCache()
  await pushLocked(lock, await openArchive(folder), options(cacheDir))
  const expected = [...files.map((file) => objectKey(objectNameOf(file))), `locks/${lockHex}.json`].sort()
  const inFolder = readdirSync(folder, { recursive: true, withFileTypes: true, encoding: 'utf8' })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
  assert.deepEqual(inFolder.sort(), expected)
  assert.equal(readFileSync(join(folder, `locks/${lockHex}.json`), 'utf8'), lockText(lock))
  await pushLocked(lock, await openArchive(`s3://${BUCKET}/a/layout/`), options(cacheDir))
  const { Contents = [] } = await client.send(
    new ListObjectsV2Command({ Bucket: BUCKET, Prefix: 'a/layout/' }),
  )
  assert.deepEqual(Contents.map(({ Key = '' }) => Key.slice('a/layout/'.length)).sort(), expected)
})

test('a file damaged in the cache is not pushed; one damaged in the archive is pushed again, and not pulled', async () => {
  const folder = join(newFolder(), 'archive')
  const archive = await openArchive(folder)
  const cacheDir = fullCache()
  writeFileSync(objectFile(cacheDir, lock.kernel), 'rotten')
  await assert.rejects(
    pushLocked(lock, archive, options(cacheDir)),
    /linux-image 1\.0-1 is damaged in the cache/,
  )
  const good = fullCache()
  await pushLocked(lock, archive, options(good))
  writeFileSync(join(folder, objectKey(objectNameOf(lock.kernel))), 'linux-image 1.0-2')
  rmSync(objectFile(good, lock.kernel))
  await assert.rejects(pullLocked(lock, archive, options(good)), /linux-image[^]*SHA256 is/)
  assert.equal((await pushLocked(lock, archive, options(fullCache()))).moved, 1)
})

test('a missing bucket is an error, not an archive without the file', async () => {
  const archive = await openArchive('s3://nobody-made-this/x')
  const cacheDir = join(newFolder(), 'cache')
  await assert.rejects(pullLocked(lock, archive, options(cacheDir)), /NoSuchBucket|bucket/i)
})

test('an archive behind HTTP can be read but not added to', async () => {
  await assert.rejects(openArchive('https://archive.example/x'), /HTTP only reads/)
})
