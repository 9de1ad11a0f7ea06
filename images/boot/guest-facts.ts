// Asks a running guest for facts about itself. Owns the unit that answers, and parses its answer.
// systemd credentials add the unit to an unchanged image: a socket that starts nothing until the test connects.
// Fails when the guest does not answer in time.
import { NODE_PATH } from '../../contract/image-paths.ts'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'

/** The port of the guest that answers. The test forwards it like the others. */
export const FACTS_PORT = 9099

const PROBE = fileURLToPath(new URL('./guest-probe.mjs', import.meta.url))
/** Also the name of the probe's file in the guest. The ending makes it an ES module for Node. */
const PROBE_CREDENTIAL = 'guest-probe.mjs'

const number = v.number()
const text = v.string()
const Answer = v.object({
  attempts: v.array(v.object({ host: text, port: number, outcome: text })),
  units: v.array(v.object({ unit: text, active: text, sub: text })),
  listening: v.array(v.object({ protocol: text, address: text, port: number })),
  times: v.object({ now: number, userspace: number, server: number }),
  server: v.object({ restarts: number, memoryDenyWriteExecute: v.boolean(), environment: v.array(text) }),
  running: v.array(text),
  foreign: v.array(text),
  nodeVersion: text,
  kernel: text,
})

const Killed = v.object({ killed: v.pipe(number, v.minValue(2, 'a process')) })

/**
 * `attempts[].outcome` is `connected`, `timeout` or an error code; `times` are seconds since the kernel started;
 * `listening` are TCP sockets that listen and UDP sockets that any host may send to. `running` are the programs of all
 * processes. `foreign` are programs that could install something or allow a login.
 */
export type GuestFacts = v.InferOutput<typeof Answer>

export type GuestAddress = { host: string; port: number }

/** The credentials that make an image answer {@link askGuest}. */
export function factsCredentials(): Record<string, string> {
  const unit = (lines: string[]) => `${lines.join('\n')}\n`
  return {
    [PROBE_CREDENTIAL]: readFileSync(PROBE, 'utf8'),
    'systemd.extra-unit.boot-test.socket': unit([
      '[Unit]',
      'After=nftables.service',
      '[Socket]',
      `ListenStream=${FACTS_PORT}`,
      'Accept=yes',
      // The image's packet filter lets in only the clients of its ports.
      `ExecStartPre=/usr/sbin/nft add element inet mailfleet services { ${FACTS_PORT} }`,
    ]),
    'systemd.extra-unit.boot-test@.service': unit([
      '[Service]',
      `ImportCredential=${PROBE_CREDENTIAL}`,
      `ExecStart=${NODE_PATH} \${CREDENTIALS_DIRECTORY}/${PROBE_CREDENTIAL}`,
      'StandardInput=socket',
      'StandardError=journal+console',
    ]),
    'systemd.unit-dropin.sockets.target': unit(['[Unit]', 'Wants=boot-test.socket']),
  }
}

/**
 * Asks the guest behind `port` for its facts, and to try to connect to `addresses` from inside.
 * @throws {Error} if no complete answer comes within `timeoutMs`
 */
export async function askGuest(
  port: number,
  addresses: readonly GuestAddress[],
  timeoutMs: number,
): Promise<GuestFacts> {
  return v.parse(Answer, await ask(port, { addresses }, timeoutMs))
}

/**
 * Kills the server of the guest behind `port`. @returns the process id that it had.
 * @throws {Error} if no whole answer comes within `timeoutMs`.
 */
export async function killServer(port: number, timeoutMs: number): Promise<number> {
  return v.parse(Killed, await ask(port, { kill: true }, timeoutMs)).killed
}

async function ask(port: number, question: object, timeoutMs: number): Promise<unknown> {
  const socket = connect({ host: '127.0.0.1', port })
  const answer = new Promise<string>((resolve, reject) => {
    let received = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (received += chunk))
    socket.on('end', () => resolve(received))
    socket.on('error', reject)
    socket.setTimeout(timeoutMs, () => reject(new Error(`the guest did not answer within ${timeoutMs} ms`)))
  })
  socket.write(`${JSON.stringify(question)}\n`)
  try {
    const received = await answer
    if (received === '') throw new Error('the guest closed the connection without an answer')
    return JSON.parse(received)
  } finally {
    socket.destroy()
  }
}

/** Leaves out the probe, which is not a part of the image. */
export function unitsOfImage({ units }: GuestFacts): { active: string[]; failed: string[] } {
  const own = units.filter(({ unit }) => !unit.startsWith('boot-test') && !unit.includes('boot\\x2dtest'))
  const named = (state: string) => own.filter(({ active }) => active === state).map(({ unit }) => unit)
  return { active: named('active').sort(), failed: named('failed').sort() }
}
