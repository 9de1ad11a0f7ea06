// Boots a baked image whose power the test can cut. Its queue is on a spool disk that outlives the guest.
// Owns the machine, and the gate between it and the mailboxes. Fails with the guest's last console lines.
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startMachine, TAIL_LINES } from '../../images/boot/qemu/machine.ts'
import type { Accel } from '../../images/boot/qemu/arguments.ts'
import { greets } from '../../mailkit/smtp-client.ts'
import { ADMIN_PORT, SMTP_PORT } from '../../contract/ports.ts'
import { RELAY_FROM_GUEST, serverCredentials } from '../../images/boot/server-credentials.ts'
import { ALIASES } from '../kit/crash/mail.ts'

/** An emulated boot takes about half a minute on an idle machine. */
const UP_MS = 240_000
const GREETING_MS = 2_000

/** Short, because the test waits for a dead guest's leases to end and for deferred mail to be retried. */
const DELIVERY = { leaseMs: 5_000 }
const RETRY = { firstMs: 200, maxMs: 1_000 }

export type Gate = { port: number; open: () => void; close: () => void }

/**
 * Forwards connections to `port` once it is open.
 * Until then it accepts connections and never answers, so deliveries hang and the queue grows.
 */
export async function startGate(t: TestContext, port: number): Promise<Gate> {
  let isOpen = false
  const server = createServer((guest) => {
    guest.on('error', () => guest.destroy())
    // Reads, to notice the end of the connection.
    if (!isOpen) return void guest.resume()
    const mailbox = connect(port, '127.0.0.1')
    mailbox.on('error', () => {})
    // pipe() passes on an end of stream, but not a broken connection.
    mailbox.on('close', () => guest.destroy())
    guest.on('close', () => mailbox.destroy())
    guest.pipe(mailbox).pipe(guest)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return {
    port: (server.address() as AddressInfo).port,
    open: () => void (isOpen = true),
    close: () => void (isOpen = false),
  }
}

export type Guest = {
  /** Seconds from power-on to the server's greeting. */
  upSeconds: number
  /** The host's port that forwards to the server's SMTP port. */
  port: number
  /** Messages in its queue: ready, in flight and deferred. */
  queued: () => Promise<number>
  /** Cuts its power: data in its memory never reaches the disk. */
  cut: () => Promise<void>
}

export type GuestOptions = {
  accel: Accel
  disk: string
  spool: string
  workDir: string
  gate: Gate
  /** Queue settings other than the path. */
  queue: Record<string, unknown>
}

/** Boots a guest and waits for its greeting. @throws {Error} if the guest goes down or stays silent. */
export async function bootGuest(t: TestContext, o: GuestOptions): Promise<Guest> {
  const running = await startMachine(
    {
      accel: o.accel,
      disks: [
        { name: 'image', file: o.disk, writable: false },
        { name: 'spool', file: o.spool, writable: true },
      ],
      network: {
        restrict: true,
        hostToGuest: [SMTP_PORT, ADMIN_PORT],
        guestToHost: [{ ...RELAY_FROM_GUEST, hostPort: o.gate.port }],
      },
      credentials: serverCredentials({ queue: o.queue, delivery: DELIVERY, retry: RETRY, routes: routes() }),
    },
    { workDir: o.workDir },
  )
  t.after(() => running.kill())
  const port = running.ports.get(SMTP_PORT) ?? 0
  const deadline = performance.now() + UP_MS
  while (!(await greets(port, GREETING_MS))) {
    if (running.hasEnded() || performance.now() > deadline) {
      const why = running.hasEnded() ? 'the guest went down' : 'the guest did not come up'
      throw new Error(`${why}:\n${running.console.tail(TAIL_LINES).join('\n')}`)
    }
    await sleep(100)
  }
  const upSeconds = Math.round(running.seconds())
  return { upSeconds, port, queued: () => queued(running.ports.get(ADMIN_PORT) ?? 0), cut: running.kill }
}

async function queued(port: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const counts = [...text.matchAll(/^mailfleet_queue_(?:ready|in_flight|deferred) (\d+)$/gm)]
  if (counts.length !== 3) throw new Error(`no queue in the metrics:\n${text}`)
  return counts.reduce((sum, [, count]) => sum + Number(count), 0)
}

function routes() {
  const domains: Record<string, Record<string, string[]>> = {}
  for (const [alias, destinations] of Object.entries(ALIASES)) {
    const [local = '', domain = ''] = alias.split('@')
    ;(domains[domain] ??= {})[local] = destinations
  }
  return domains
}
