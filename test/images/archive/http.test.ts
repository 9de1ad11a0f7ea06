// HTTP: Retry-After as in RFC 9110, and the proxy of apt's configuration.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { aptProxy, retryAfterMs } from '../../../images/archive/http.ts'

test('Retry-After is seconds or a date', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  assert.equal(retryAfterMs('120', now), 120_000)
  assert.equal(retryAfterMs('Thu, 01 Jan 2026 00:00:30 GMT', now), 30_000)
  assert.equal(retryAfterMs('Thu, 01 Jan 2020 00:00:00 GMT', now), 0)
  assert.equal(retryAfterMs('soon', now), undefined)
  assert.equal(retryAfterMs(null, now), undefined)
})

test('apt’s proxy is read from its configuration, without DIRECT and proxies for one host', () => {
  const dump = (lines: string[]) => aptProxy([...lines, ''].join('\n'))
  assert.deepEqual(dump(['Acquire::http::Proxy "http://cache.example:3142/";']), {
    http: 'http://cache.example:3142/',
    https: 'http://cache.example:3142/',
  })
  assert.deepEqual(dump(['Acquire::http::Proxy::mirror.example "http://x:1";']), {})
  assert.deepEqual(dump(['Acquire::http::Proxy "DIRECT";', 'Acquire::https::Proxy "http://y:2";']), {
    https: 'http://y:2',
  })
})

test('the environment’s proxy is used for other hosts and not for loopback', async () => {
  // A thread of its own, since the process below is waited for.
  const proxied = new Worker(
    `const { parentPort } = require('node:worker_threads')
     const server = require('node:http').createServer((request, response) => response.end('asked for ' + request.url))
     server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))`,
    { eval: true },
  )
  const [port] = (await once(proxied, 'message')) as [number]
  try {
    const module = join(import.meta.dirname, '../../../images/archive/http.ts')
    const script = `import { text } from 'node:stream/consumers'
      import { openHttp, useHostProxy } from ${JSON.stringify(module)}
      await useHostProxy()
      console.log(await text(await openHttp('http://mirror.invalid/x')))
      console.log(await text(await openHttp('http://127.0.0.1:${port}/loopback')))`
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], http_proxy: `http://127.0.0.1:${port}` },
    })
    assert.equal(stdout, 'asked for http://mirror.invalid/x\nasked for /loopback\n', stderr)
  } finally {
    await proxied.terminate()
  }
})
