// A mail server outside the guest that takes what the guest forwards. Owns: one smtp-server on the host's loopback.
// Fails only if it cannot listen; whatever a client does ends with that client.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { SMTPServer } from 'smtp-server'

export type Received = { mailFrom: string; recipients: string[]; raw: Buffer }

export type Sink = { port: number; close: () => Promise<void> }

/**
 * Starts a sink on a free port of 127.0.0.1.
 * @param onMessage gets every message when its final dot has come, before the 250.
 * @param refuses while true, every recipient is answered 451.
 */
export async function startSink(
  onMessage: (message: Received) => void,
  refuses: () => boolean = () => false,
): Promise<Sink> {
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    authOptional: true,
    disableReverseLookup: true,
    closeTimeout: 100,
    onRcptTo: (_address, _session, done) =>
      refuses() ? done(Object.assign(new Error('4.3.2 not now'), { responseCode: 451 })) : done(),
    onData: (stream, { envelope }, done) => {
      const { mailFrom, rcptTo } = envelope
      buffer(stream).then((raw) => {
        const recipients = rcptTo.map(({ address }) => address)
        onMessage({ mailFrom: mailFrom === false ? '' : mailFrom.address, recipients, raw })
        done()
      }, done)
    },
  })
  // A guest that is switched off leaves broken connections behind.
  server.on('error', () => {})
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  const { port } = server.server.address() as AddressInfo
  return { port, close: () => new Promise((resolve) => server.close(() => resolve())) }
}
