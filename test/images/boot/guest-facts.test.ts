// Asks a guest for facts: the credentials that inject the probe, and an answer over a real connection.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { askGuest, factsCredentials, unitsOfImage } from '../../../images/boot/guest-facts.ts'

const facts = {
  attempts: [{ host: '10.0.2.2', port: 1, outcome: 'ECONNREFUSED' }],
  units: [
    { unit: 'mailfleet.service', active: 'active', sub: 'running' },
    { unit: 'bad.service', active: 'failed', sub: 'failed' },
    { unit: 'boot-test.socket', active: 'active', sub: 'listening' },
    { unit: 'idle.service', active: 'inactive', sub: 'dead' },
  ],
  listening: [{ protocol: 'tcp', address: '0.0.0.0', port: 25 }],
  times: { now: 20, userspace: 3, server: 5 },
  server: { restarts: 0, memoryDenyWriteExecute: false, environment: ['UV_USE_IO_URING=0'] },
  running: ['/usr/lib/mailfleet/node'],
  foreign: [],
  nodeVersion: 'v26.10.0',
  kernel: '6.12',
}

async function answering(answer: string) {
  const questions: string[] = []
  const server = createServer((socket) => {
    socket.once('data', (chunk) => {
      questions.push(chunk.toString())
      socket.end(answer)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, questions, close: () => server.close() }
}

test('the question names the addresses; the answer is checked and returned', async () => {
  const guest = await answering(JSON.stringify(facts))
  const answer = await askGuest(guest.port, [{ host: '10.0.2.2', port: 1 }], 5_000)
  guest.close()
  assert.deepEqual(answer, facts)
  assert.deepEqual(guest.questions, ['{"addresses":[{"host":"10.0.2.2","port":1}]}\n'])
})

test('no answer, or half of one, is an error', async () => {
  for (const answer of ['', '{"attempts":[]', '{"attempts":[]}']) {
    const guest = await answering(answer)
    await assert.rejects(askGuest(guest.port, [], 5_000))
    guest.close()
  }
})

test('the image’s units are told apart from the test’s own', () => {
  assert.deepEqual(unitsOfImage(facts), { active: ['mailfleet.service'], failed: ['bad.service'] })
})

test('the probe is a socket of its own that nothing runs behind until it is asked', () => {
  const credentials = factsCredentials()
  assert.match(
    credentials['systemd.extra-unit.boot-test.socket'] ?? '',
    /ListenStream=9099\nAccept=yes\n.*nft add/,
  )
  assert.match(credentials['systemd.unit-dropin.sockets.target'] ?? '', /Wants=boot-test\.socket/)
  assert.match(credentials['systemd.extra-unit.boot-test@.service'] ?? '', /StandardInput=socket/)
})
