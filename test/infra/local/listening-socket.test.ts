// The shared listening socket with real processes: only instances accept, and a drain resets no client.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { bindListeningSocket } from '../../../infra/local/listening-socket.ts'

const HOST = '127.0.0.1'

async function acceptor(fd: number): Promise<ChildProcess> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../kit/fleet/acceptor.ts')], {
    stdio: ['ignore', 'inherit', 'inherit', fd, 'ipc'],
  })
  await once(child, 'message')
  return child
}

async function drain(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  assert.deepEqual(await exit, [0, null])
}

/** Connects once. @returns the pid that answered, or the error's code */
async function ask(port: number): Promise<string> {
  const socket = connect(port, HOST)
  try {
    return (await text(socket)).trim() || 'closed without an answer'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  } finally {
    socket.destroy()
  }
}

test('the supervisor binds but never accepts', async () => {
  const socket = bindListeningSocket(HOST, 0)
  // Refused, since the socket does not listen yet. A net.Server would accept the connection.
  assert.equal(await ask(socket.port), 'ECONNREFUSED')

  const child = await acceptor(socket.fd)
  for (let round = 0; round < 20; round += 1) assert.equal(await ask(socket.port), String(child.pid))

  // The only instance stops accepting: connections wait, and the supervisor does not accept them.
  child.kill('SIGSTOP')
  const waiting = ask(socket.port)
  assert.equal(await Promise.race([waiting, sleep(200, 'still waiting')]), 'still waiting')
  child.kill('SIGCONT')
  assert.equal(await waiting, String(child.pid))
  await drain(child)
  await socket.close()
})

test('clients that wait when the last instance ends get 421, and none is reset', async () => {
  const socket = bindListeningSocket(HOST, 0)
  const child = await acceptor(socket.fd)
  child.kill('SIGSTOP')
  const waiting = Array.from({ length: 50 }, () => ask(socket.port))
  await sleep(200)
  child.kill('SIGKILL')
  await once(child, 'exit')
  socket.refuseClients()
  await socket.close()
  assert.deepEqual(
    [...new Set(await Promise.all(waiting))],
    ['421 4.3.2 This server is going down, try another'],
  )
  assert.equal(await ask(socket.port), 'ECONNREFUSED')
})

test('draining two instances one after the other resets and refuses none of 50 clients', async () => {
  const socket = bindListeningSocket(HOST, 0)
  const [first, second] = await Promise.all([acceptor(socket.fd), acceptor(socket.fd)])
  const answers = new Map<string, number>()
  let going = true
  const clients = Array.from({ length: 50 }, async () => {
    while (going) {
      const answer = await ask(socket.port)
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
  })
  await sleep(300)
  await drain(first)
  await sleep(100)
  const third = await acceptor(socket.fd)
  await drain(second)
  // With the last instance gone, clients wait for the next one instead of failing.
  await drain(third)
  await sleep(100)
  const fourth = await acceptor(socket.fd)
  await sleep(100)
  going = false
  await Promise.all(clients)
  await drain(fourth)
  await socket.close()

  const pids = [first, second, third, fourth].map(({ pid }) => String(pid))
  assert.deepEqual(
    [...answers.keys()].filter((answer) => !pids.includes(answer)),
    [],
  )
  for (const pid of [pids[0], pids[1], pids[3]])
    assert.ok((answers.get(pid ?? '') ?? 0) > 0, `${pid} accepted none`)
})

test('a port in use is an error at once', async () => {
  const other = createServer().listen(0, HOST)
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  assert.throws(() => bindListeningSocket(HOST, port), { code: 'EADDRINUSE' })
  other.close()
})
