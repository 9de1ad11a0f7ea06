// The sources of a lock's files: their order, what one's failure means for the next, and the error when all have failed.
// The servers are real and misbehave. A source that must not answer has no listener.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { snapshotAddress } from '../../../images/archive/deb-sources.ts'
import { objectPath } from '../../../images/cache.ts'
import { FetchError, fetchLocked, MissingPackagesError } from '../../../images/archive/fetch.ts'
import type { Lock } from '../../../images/lock-file.ts'
import { debOf, lockOf } from '../../kit/images/fake-locks.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void

const gone: Handler = (_, response) => response.writeHead(404).end()
let mirror: Handler = gone
let snapshot: Handler = gone
const requests: string[] = []
const server = createServer((request, response) => {
  const url = request.url ?? ''
  requests.push(url)
  ;(url.startsWith('/snap') ? snapshot : mirror)(request, response)
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
after(() => {
  server.closeAllConnections()
  server.close()
})
const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
/** Refuses connections: a port that was just free. (fetch itself refuses the low ones.) */
const UNREACHABLE = await new Promise<string>((resolve) => {
  const closed = createServer().listen(0, '127.0.0.1', () => {
    const { port } = closed.address() as AddressInfo
    closed.close(() => resolve(`http://127.0.0.1:${port}`))
  })
})
const mirrors = { debian: `${address}/debian`, security: `${address}/debian-security` }
const zstd = debOf('zstd')
const lock = lockOf({ root: [zstd], kernel: zstd, tools: [zstd] })

/** Serves a package its right content. */
const serve: Handler = (request, response) => {
  const match = /\/([^/_]+)_([^/_]+)_amd64\.deb$/.exec(decodeURIComponent(request.url ?? ''))
  response.end(`${match?.[1]} ${match?.[2]}`)
}

function fresh(of: Lock = lock) {
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-places-'))
  const cacheDir = join(folder, 'cache')
  put(objectPath(cacheDir, 'sha512', sha('sha512', of.node.name)), of.node.name)
  requests.length = 0
  return { folder, cacheDir, mirrors, retryDelayMs: 1 }
}
const sha = (algorithm: string, text: string) => createHash(algorithm).update(text).digest('hex')
const inArchive = (archive: string) => join(archive, 'sha256', zstd.sha256.slice(0, 2), zstd.sha256)
function put(file: string, content: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
}

for (const kind of ['a path', 'a file address']) {
  test(`an archive in a directory, named by ${kind}, is asked first, and nothing else`, async () => {
    const o = fresh()
    const folder = join(o.folder, 'own archive')
    put(inArchive(folder), 'zstd 1.0-1')
    const archive = kind === 'a path' ? folder : pathToFileURL(folder).href
    assert.equal((await fetchLocked(lock, { ...o, archive })).downloaded, 1)
    assert.deepEqual(requests, [])
  })
}

test('a package that is damaged in the archive and gone from the mirror comes from the snapshot archive', async () => {
  const o = fresh()
  const archive = join(o.folder, 'archive')
  put(inArchive(archive), 'rotten')
  mirror = gone
  snapshot = serve
  await fetchLocked(lock, { ...o, archive, snapshot: `${address}/snap/` })
  const day = '20231114T221320Z'
  const path = 'pool/main/z/zstd/zstd_1.0-1_amd64.deb'
  assert.deepEqual(requests, [`/debian/${path}`, `/snap/archive/debian/${day}/${path}`])
  assert.deepEqual(readdirSync(join(o.cacheDir, 'tmp')), [])
})

test('an archive and a mirror that do not answer are skipped', async () => {
  snapshot = serve
  const down = { debian: `${UNREACHABLE}/debian`, security: `${UNREACHABLE}/security` }
  const options = { ...fresh(), archive: `${UNREACHABLE}/own`, mirrors: down, snapshot: `${address}/snap` }
  assert.equal((await fetchLocked(lock, options)).downloaded, 1)
})

test('a refused connection is reported as one', async () => {
  const down = { debian: `${UNREACHABLE}/debian`, security: `${UNREACHABLE}/security` }
  await assert.rejects(
    fetchLocked(lock, { ...fresh(), mirrors: down }),
    /mirror http.*ECONNREFUSED.*, 4 times\n/,
  )
})

test('the snapshot archive is asked for the day after the lock’s date as well', async () => {
  mirror = gone
  snapshot = (request, response) => (request.url?.includes('20231115T') ? serve : gone)(request, response)
  await fetchLocked(lock, { ...fresh(), snapshot: `${address}/snap` })
  assert.equal(requests.length, 3)
})

test('a snapshot address names the package’s archive', () => {
  const deb = { ...debOf('g++', '1+2'), archive: 'security' as const }
  assert.equal(
    snapshotAddress('http://snap.example/', 1_700_000_000, deb),
    'http://snap.example/archive/debian-security/20231114T221320Z/pool/main/g/g%2B%2B/g%2B%2B_1%2B2_amd64.deb',
  )
})

test('the snapshot archive is asked for one file at a time, and its Retry-After is respected', async () => {
  const debs = ['a', 'b', 'c'].map((name) => debOf(name))
  const many = lockOf({ root: debs, kernel: zstd, tools: [zstd] })
  mirror = gone
  let [open, most, refusals] = [0, 0, 2]
  snapshot = (request, response) => {
    most = Math.max(most, ++open)
    response.on('close', () => open--)
    if (refusals-- > 0) response.writeHead(429, { 'retry-after': '0' }).end()
    else setTimeout(() => serve(request, response), 5)
  }
  assert.equal((await fetchLocked(many, { ...fresh(many), snapshot: `${address}/snap` })).downloaded, 4)
  assert.equal(most, 1)
})

test('a source with a too long Retry-After is skipped, and the error says so', async () => {
  mirror = (_, response) => response.writeHead(503, { 'retry-after': '86400' }).end()
  snapshot = gone
  await assert.rejects(
    fetchLocked(lock, fresh()),
    /mirror http.*: HTTP 503, come back in 86400 s\n.*MAILFLEET_MIRROR/,
  )
  assert.equal(requests.length, 1)
})

test('a connection without data times out, and the next source is used', async () => {
  mirror = (_, response) => {
    response.writeHead(200, { 'content-length': '10' })
    response.write('zs')
  }
  snapshot = serve
  const o = { ...fresh(), stallMs: 50, snapshot: `${address}/snap` }
  assert.equal((await fetchLocked(lock, o)).downloaded, 1)
  assert.equal(requests.filter((url) => url.startsWith('/debian')).length, 4)
})

test('when every source fails, the error lists each with its answer', async () => {
  const o = fresh()
  mirror = (_, response) => response.writeHead(502).end()
  snapshot = (_, response) => response.end('wrong bytes')
  const archive = join(o.folder, 'not-mounted')
  await assert.rejects(fetchLocked(lock, { ...o, archive, snapshot: `${address}/snap` }), (error) => {
    assert.ok(error instanceof FetchError && !(error instanceof MissingPackagesError))
    assert.match(error.message, /^1 locked package could not be fetched:\n {2}zstd 1\.0-1 \(pool/)
    assert.match(error.message, /\n {4}archive .*: there is no folder .*not-mounted, 4 times\n/)
    assert.match(error.message, /\n {4}mirror .*: HTTP 502, 4 times\n/)
    assert.match(error.message, /\n {4}snapshot .*: SHA256 is .*, locked is [0-9a-f]{64}\n/)
    return true
  })
})

test('a mirror that is down is not asked four times for each of many packages', async () => {
  const debs = Array.from({ length: 60 }, (_, index) => debOf(`p${index}`))
  const many = lockOf({ root: debs })
  mirror = (request) => request.socket.destroy()
  await assert.rejects(fetchLocked(many, fresh(many)), /62 locked package[^]*not asked again[^]*and 52 more/)
  assert.ok(requests.length < 50, `${requests.length} requests`)
})

test('a setting that names no archive is an InputError', async () => {
  for (const archive of ['ftp://host/x', 's3://Bad_Bucket/x', 's3://', 'file://host/x']) {
    await assert.rejects(fetchLocked(lock, { ...fresh(), archive }), /the archive: 1 problem\n.*found "/)
  }
})
