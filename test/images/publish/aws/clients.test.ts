// The AWS clients of publishing: how long they wait for a connection that has gone silent.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { clientsOfRun, connectAws } from '../../../../images/publish/aws/clients.ts'
import { verifyBlocks } from '../../../../images/publish/snapshot/read-back.ts'
import { checksumOf } from '../../../../images/publish/snapshot/blocks.ts'
import { BLOCK, SHORT_LIMITS } from '../../../kit/images/fake-image.ts'

test('a block whose answer stops in the middle is read again, not waited for for ever', async (t) => {
  const block = Buffer.alloc(BLOCK, 7)
  let reads = 0
  const server = createServer((request, response) => {
    if (request.url?.includes('blockToken') !== true) {
      response.end(JSON.stringify({ Blocks: [{ BlockIndex: 0, BlockToken: 'token' }] }))
      return
    }
    response.writeHead(200, { 'content-length': BLOCK })
    if (++reads === 1) response.write(block.subarray(0, BLOCK / 2))
    else response.end(block)
  })
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b' }
  const aws = await connectAws({ endpoint, credentials, region: 'eu-west-1' }, 2000)
  const { signal } = new AbortController()
  const { ebs } = clientsOfRun(aws, { limits: SHORT_LIMITS, signal })
  const o = { ebs, snapshotId: 'snap-1', signal }
  await verifyBlocks(o, [{ index: 0, checksum: checksumOf(block) }], 'all')
  assert.ok(reads >= 2)
})
