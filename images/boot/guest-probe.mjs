// Runs on the image's Node in a boot test's guest. guest-facts.ts injects it. Descriptor 0 is a connection, one JSON
// line each way. {"addresses":[…]} returns the result of connecting to each, and the facts of systemd and the kernel.
// {"kill":true} kills the server and returns its process id.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { connect, Socket } from 'node:net'
import { release } from 'node:os'

/** In an emulated guest an answer takes up to 0.2 s. Silence for 5 s means a dropped packet. */
const CONNECT_MS = 5_000

const asker = new Socket({ fd: 0, readable: true, writable: true })
let question = ''
asker.setEncoding('utf8').on('data', (chunk) => {
  question += chunk
  if (!question.endsWith('\n')) return
  const asked = JSON.parse(question)
  if (asked.kill) asker.end(JSON.stringify({ killed: killServer() }))
  else void answer(asked)
})

function killServer() {
  const argv = ['show', '--value', '--property=MainPID', 'mailfleet.service']
  const pid = Number(execFileSync('systemctl', argv, { encoding: 'utf8' }))
  process.kill(pid, 'SIGKILL')
  return pid
}

async function answer({ addresses }) {
  const attempts = []
  for (const address of addresses) attempts.push({ ...address, outcome: await attempt(address) })
  const facts = { attempts, units: units(), listening: listening(), times: times(), server: server() }
  const programs = { running: running(), foreign: foreign() }
  asker.end(JSON.stringify({ ...facts, ...programs, nodeVersion: process.version, kernel: release() }))
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

/** TCP sockets in state LISTEN (0A), and unconnected UDP sockets (07). */
function listening() {
  return ['tcp', 'tcp6', 'udp', 'udp6'].flatMap((name) => {
    const protocol = name.slice(0, 3)
    const rows = text(`/proc/net/${name}`).split('\n').slice(1)
    const columns = rows.map((row) => row.trim().split(/\s+/))
    return columns
      .filter(([, , , state]) => state === (protocol === 'tcp' ? '0A' : '07'))
      .map(([, local]) => {
        const [address, port] = local.split(':')
        return { protocol, address: addressOf(address), port: parseInt(port, 16) }
      })
  })
}

/** The kernel writes an address as 32-bit words in the processor's byte order. */
function addressOf(hex) {
  if (hex.length > 8) return /^0+$/.test(hex) ? '::' : hex
  return Buffer.from(hex, 'hex').reverse().join('.')
}

/** Properties of the server's unit, and the number of its restarts by systemd. */
function server() {
  const properties = ['NRestarts', 'MemoryDenyWriteExecute', 'Environment']
  const argv = ['show', ...properties.map((name) => `--property=${name}`), 'mailfleet.service']
  const lines = execFileSync('systemctl', argv, { encoding: 'utf8' }).trim().split('\n')
  const shown = Object.fromEntries(
    lines.map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]),
  )
  return {
    restarts: Number(shown.NRestarts),
    memoryDenyWriteExecute: shown.MemoryDenyWriteExecute === 'yes',
    environment: shown.Environment.split(' '),
  }
}

/** The programs of all processes. Kernel threads have none. */
function running() {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const programs = pids.flatMap((pid) => {
    try {
      return [readlinkSync(`/proc/${pid}/exe`)]
    } catch {
      return []
    }
  })
  return [...new Set(programs)].sort()
}

/** Programs in the usual folders that could install software or give remote access. */
function foreign() {
  const names =
    /^(apt|apt-get|aptitude|dpkg|snap|pip3?|npm|curl|wget|sshd|dropbear|cloud-init|agetty|unattended-upgrades?)$/
  const folders = ['/usr/local/bin', '/usr/local/sbin', '/usr/bin', '/usr/sbin', '/usr/lib/mailfleet']
  return folders.flatMap((folder) => {
    try {
      return readdirSync(folder)
        .filter((name) => names.test(name))
        .map((name) => `${folder}/${name}`)
    } catch {
      return []
    }
  })
}

function text(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Seconds from the start of the kernel: until now, until systemd started, and until the server started. */
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
