// Runs inside the guest of a boot test, on the image's own Node, started by the unit that guest-facts.ts injects; it
// is not part of the image. Reads one JSON line from its connection, which names addresses to try, and answers with
// one: what came of each, and what systemd and the kernel say of this machine. Descriptor 0 is the connection.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect, Socket } from 'node:net'
import { release } from 'node:os'

/** Emulated, an answer takes up to 0.2 s; silence for 5 s is a dropped packet. */
const CONNECT_MS = 5_000

const asker = new Socket({ fd: 0, readable: true, writable: true })
let question = ''
asker.setEncoding('utf8').on('data', (chunk) => {
  question += chunk
  if (question.endsWith('\n')) void answer(JSON.parse(question))
})

async function answer({ addresses }) {
  const attempts = []
  for (const address of addresses) attempts.push({ ...address, outcome: await attempt(address) })
  const facts = { attempts, units: units(), ports: ports(), times: times() }
  asker.end(JSON.stringify({ ...facts, nodeVersion: process.version, kernel: release() }))
}

function attempt({ host, port }) {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: CONNECT_MS })
    const done = (outcome) => {
      socket.destroy()
      resolve(outcome)
    }
    socket.on('connect', () => done('connected'))
    socket.on('timeout', () => done('timeout'))
    socket.on('error', ({ code, message }) => done(code ?? message))
  })
}

function units() {
  const argv = [
    'list-units',
    '--all',
    '--output=json',
    '--no-pager',
    '--type=service,socket,mount,target,timer',
  ]
  const found = JSON.parse(execFileSync('systemctl', argv, { encoding: 'utf8' }))
  return found.map(({ unit, active, sub }) => ({ unit, active, sub }))
}

/** Ports of sockets in state LISTEN (0A), IPv4 and IPv6. */
function ports() {
  const rows = ['tcp', 'tcp6'].flatMap((name) => {
    try {
      return readFileSync(`/proc/net/${name}`, 'utf8').split('\n').slice(1)
    } catch {
      return []
    }
  })
  const listening = rows.map((row) => row.trim().split(/\s+/)).filter((columns) => columns[3] === '0A')
  return [...new Set(listening.map(([, local]) => parseInt(local.split(':').at(-1), 16)))].sort(
    (a, b) => a - b,
  )
}

/** Seconds since the kernel started: now, when systemd started, when the server was started. */
function times() {
  const show = (property, ...unit) =>
    Number(
      execFileSync('systemctl', ['show', '--value', `--property=${property}`, ...unit], { encoding: 'utf8' }),
    ) / 1e6
  return {
    now: Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]),
    userspace: show('UserspaceTimestampMonotonic'),
    server: show('ExecMainStartTimestampMonotonic', 'mailfleet.service'),
  }
}
