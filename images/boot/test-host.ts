// The host's side of a boot test: folder, spool disk, mailbox, listener, and the machine for QEMU.
// Owns their clean-up.
import { join } from 'node:path'
import { factsCredentials, FACTS_PORT } from './guest-facts.ts'
import { openMailbox, type Mailbox } from '../../mailkit/mailbox.ts'
import { openLiveListener, type LiveListener } from './network-cut.ts'
import type { Accel, Architecture, QemuMachine } from './qemu/arguments.ts'
import { ADMIN_PORT, SMTP_PORT } from '../../contract/ports.ts'
import { RELAY_FROM_GUEST, serverCredentials } from './server-credentials.ts'
import { makeSpoolDisk } from './spool-disk.ts'
import { makeWorkFolder, removeWorkFolder } from './work-folder.ts'

/** Enough for a few hundred small messages and one large. The file occupies only the space that is written. */
const SPOOL_BYTES = 256 * 1024 * 1024

/** Short leases and retries, because the second boot waits for the leases and the deferred mail of the first. */
const DELIVERY = { leaseMs: 5_000 }
const RETRY = { firstMs: 200, maxMs: 1_000 }

export type TestHost = {
  folder: string
  spool: string
  readTrace: string
  capture: string
  live: LiveListener
  mailbox: Mailbox
}

/** @param boots the folder for work folders; it removes those of killed processes */
export async function prepareHost(boots: string): Promise<TestHost & AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const folder = makeWorkFolder(boots)
  stack.defer(() => removeWorkFolder(folder))
  const spool = join(folder, 'spool.raw')
  await makeSpoolDisk(spool, SPOOL_BYTES)
  const mailbox = await openMailbox()
  stack.defer(() => mailbox.close())
  const live = await openLiveListener()
  stack.defer(() => live.close())
  const cleanUp = stack.move()
  const files = { readTrace: join(folder, 'reads.log'), capture: join(folder, 'frames.pcap') }
  return {
    folder,
    spool,
    ...files,
    live,
    mailbox,
    [Symbol.asyncDispose]: () => cleanUp.disposeAsync(),
  }
}

/** @param restrict false only in the test that a guest with a network fails */
export function describeMachine(
  image: { disk: string; architecture: Architecture },
  accel: Accel,
  host: TestHost,
  restrict: boolean,
): QemuMachine {
  return {
    architecture: image.architecture,
    accel,
    disks: [
      { name: 'image', file: image.disk, writable: false },
      { name: 'spool', file: host.spool, writable: true },
    ],
    network: {
      restrict,
      hostToGuest: [SMTP_PORT, ADMIN_PORT, FACTS_PORT],
      guestToHost: [{ ...RELAY_FROM_GUEST, hostPort: host.mailbox.port }],
      captureFile: host.capture,
    },
    credentials: { ...serverCredentials({ delivery: DELIVERY, retry: RETRY }), ...factsCredentials() },
    readTraceFile: host.readTrace,
  }
}
