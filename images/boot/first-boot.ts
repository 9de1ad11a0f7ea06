// The first boot of a boot test: one measured message, other kinds, load, the guest's facts, and mail for a power cut.
// Owns the order, so that nothing changes the first message's figures. Fails with all problems found.
import { HEALTH_PATH, METRICS_PATH, READY_PATH } from '../../contract/admin-paths.ts'
import { ACCEPTED_METRIC } from '../../contract/server-metric-names.ts'
import { randomUUID } from 'node:crypto'
import type { OnProgress } from '../../platform/progress.ts'
import { findEvent } from './qemu/console.ts'
import { factProblems, listeningOfImage } from './expected.ts'
import { askGuest, FACTS_PORT, killServer, unitsOfImage, type GuestFacts } from './guest-facts.ts'
import { acceptsWhatWaits, forwardsEveryKind, forwardsUnderLoad, type Through } from './mail-checks.ts'
import { cutProblem } from './network-cut.ts'
import type { RunningMachine } from './qemu/machine.ts'
import { countBlocksRead } from './qemu/read-trace.ts'
import type { Receipt } from './receipt.ts'
import { ADMIN_PORT, SMTP_PORT } from '../../contract/ports.ts'
import { RELAY_FROM_GUEST } from './server-credentials.ts'
import { submitUntilAccepted } from '../../mailkit/smtp-client.ts'
import type { TestHost } from './test-host.ts'
import { ALIAS, forwardProblems, SENDER, testMessage } from './test-message.ts'
import { throwProblems } from './watch.ts'

/** The answer starts Node and systemctl five times. Emulated that takes 10 s, under load many times that. */
const FACTS_MS = 300_000

type OfTheTest =
  | 'version'
  | 'digest'
  | 'createdAt'
  | 'accel'
  | 'locked'
  | 'checks'
  | 'outgoing'
  | 'networkCut'
  | 'volatileSpool'
  | 'cleanShutdown'

/** `held`: the ids of accepted messages that cannot have been delivered yet. */
export type Seen = Omit<Receipt, OfTheTest> & { held: string[] }

type Examination = { running: RunningMachine; host: TestHost; signal: AbortSignal; onProgress: OnProgress }

/** Runs all checks of a guest, from its start. */
export async function examine({ running, host, signal, onProgress }: Examination): Promise<Seen> {
  const port = (guest: number) => running.ports.get(guest) ?? 0
  const { mailbox, live } = host
  const first = await firstForward(running, host, signal, onProgress)
  throwProblems(await adminProblems(port(ADMIN_PORT), signal))
  const through = { port: port(SMTP_PORT), mailbox, signal }
  onProgress(`forwarded ${(await forwardsEveryKind(through)).join(', ')}`)
  const messages = await forwardsUnderLoad(through)
  onProgress(`forwarded ${messages} messages on several connections`)
  const facts = await askGuest(port(FACTS_PORT), [RELAY_FROM_GUEST, live.address], FACTS_MS)
  const askedAt = running.seconds()
  const verdict = { allowed: RELAY_FROM_GUEST, forbidden: live.address, reached: live.reached() }
  const uncut = cutProblem(facts, verdict)
  throwProblems([...(uncut === null ? [] : [uncut]), ...factProblems(facts)])
  onProgress('it listens, runs and reaches what it should, and no more')
  await servesAgain(running, through)
  onProgress('its server was killed, and served again')
  const held = await acceptsWhatWaits(through)
  return { ...first, ...stages(running, facts, askedAt), ...described(facts), messages: messages + 5, held }
}

async function firstForward(
  running: RunningMachine,
  { mailbox, readTrace }: TestHost,
  signal: AbortSignal,
  onProgress: OnProgress,
): Promise<Pick<Receipt, 'secondsToFirstForward' | 'bytesRead' | 'blocksRead'>> {
  const id = randomUUID()
  const message = testMessage(id, new Date())
  const port = running.ports.get(SMTP_PORT) ?? 0
  await submitUntilAccepted(port, { from: SENDER, to: [ALIAS], raw: message }, signal)
  onProgress(`accepted a message after ${running.seconds().toFixed(1)} s`)
  const received = await mailbox.arrival(id, signal)
  const secondsToFirstForward = round(running.seconds())
  onProgress(`forwarded it after ${secondsToFirstForward} s`)
  const { readBytes } = await running.qmp.blockStatistics('image')
  const blocksRead = countBlocksRead(readTrace)
  throwProblems(
    forwardProblems(message, received).map((problem) => `the forwarded message is wrong: ${problem}`),
  )
  return { secondsToFirstForward, bytesRead: readBytes, blocksRead }
}

/** Kills the server. systemd must start it again, the instance must stay, and the next message must be forwarded. */
async function servesAgain(running: RunningMachine, { port, mailbox, signal }: Through): Promise<void> {
  const guestPort = (guest: number) => running.ports.get(guest) ?? 0
  await killServer(guestPort(FACTS_PORT), FACTS_MS)
  const id = randomUUID()
  await submitUntilAccepted(port, { from: SENDER, to: [ALIAS], raw: testMessage(id, new Date()) }, signal)
  await mailbox.arrival(id, signal)
  // The counter of accepted messages starts at 0 in each process, so 1 proves a new process.
  const problems = await adminProblems(guestPort(ADMIN_PORT), signal)
  throwProblems(problems.map((problem) => `after its server was killed: ${problem}`))
}

function described(facts: GuestFacts) {
  const { nodeVersion, kernel, running } = facts
  const sockets = listeningOfImage(facts)
  const tcp = sockets.filter(({ protocol }) => protocol === 'tcp').map(({ port }) => port)
  return {
    ports: [...new Set(tcp)].sort((a, b) => a - b),
    listening: [
      ...new Set(sockets.map(({ protocol, address, port }) => `${protocol} ${address}:${port}`)),
    ].sort(),
    units: unitsOfImage(facts),
    programs: running,
    nodeVersion,
    kernel,
  }
}

/** Converts the guest's times, counted from its kernel's start, to seconds since QEMU started. */
function stages({ console }: RunningMachine, { times }: GuestFacts, askedAt: number) {
  const kernel = Math.max(0, askedAt - times.now)
  const listening = findEvent(console.lines(), 'listening')
  return {
    secondsToKernel: round(kernel),
    secondsToUserspace: round(kernel + times.userspace),
    secondsToServerStart: round(kernel + times.server),
    ...(listening === null ? {} : { secondsToListening: round(listening.atSeconds) }),
  }
}

const round = (seconds: number) => Math.round(seconds * 100) / 100

/** The answers of the admin port that a healthy server would not give. */
async function adminProblems(port: number, signal: AbortSignal): Promise<string[]> {
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal })
    return { status: response.status, text: await response.text() }
  }
  const problems: string[] = []
  for (const path of [HEALTH_PATH, READY_PATH]) {
    const { status, text } = await get(path)
    if (status !== 200) problems.push(`${path} answers ${status}: ${text.slice(0, 200)}`)
  }
  const { text } = await get(METRICS_PATH)
  if (!new RegExp(`^${ACCEPTED_METRIC}(\\{[^}]*\\})? 1$`, 'm').test(text)) {
    problems.push(`${METRICS_PATH} does not count one accepted message`)
  }
  return problems
}
