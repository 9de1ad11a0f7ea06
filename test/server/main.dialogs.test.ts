// Plays the SMTP dialogs of test/dialogs/ against a real server. The lines of a dialog:
//   config: {…}   merged into the base config (first line, optional)
//   C: line       the client says; C: alone is an empty line
//   C! "text"     the client sends exactly this JSON string, no line ending added
//   S: regex      the server answers one whole line
//   S closes      the server closes the connection
//   ---           a new connection
//   F: regex      one whole line that the next host then received: MAIL, RCPT, and the message
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { startServer, type ServerProcess } from '../kit/server/server-process.ts'
import { startSmtpSink } from '../../mailkit/smtp-sink.ts'
import { openDialog } from '../../mailkit/smtp-dialog.ts'

/** The class of the enhanced code equals the class of the reply (RFC 2034 section 4). */
const ENHANCED_CODE = /^([245])\d\d[ -]\1\.\d{1,3}\.\d{1,3} \S/
/** RFC 2034 section 3: the greeting, the replies to HELO and EHLO, and 354 have no enhanced code. */
const NO_ENHANCED_CODE =
  /^(220 mx1\.example\.net ESMTP mailfleet|250[ -](mx1\.example\.net greets you|PIPELINING|8BITMIME|ENHANCEDSTATUSCODES|SIZE \d+)|354 .*)$/

const folder = join(import.meta.dirname, '../dialogs')
const instances = new Map<
  string,
  Promise<{ instance: ServerProcess; sink: Awaited<ReturnType<typeof startSmtpSink>> }>
>()

after(async () => {
  for (const started of instances.values()) {
    const { instance, sink } = await started
    await instance.stop()
    await sink.close()
  }
})

for (const file of readdirSync(folder)
  .filter((name) => name.endsWith('.txt'))
  .sort()) {
  test(file.replace('.txt', '').replaceAll('-', ' '), async () => {
    const lines = readFileSync(join(folder, file), 'utf8').split('\n')
    const config = lines[0]?.startsWith('config: ') ? (lines.shift()?.slice(8) ?? '{}') : '{}'
    if (!instances.has(config)) instances.set(config, start(config))
    const { instance, sink } = await instances.get(config)!
    const before = sink.mail.length
    await converse(instance.port, lines)
    const expected = lines.filter((line) => line.startsWith('F: ')).map((line) => line.slice(3))
    const messages = expected.filter((line) => line.startsWith('MAIL FROM')).length
    const forwarded = (await sink.received(before + messages))
      .slice(before)
      .sort((a, b) => a.to.join().localeCompare(b.to.join()))
      .flatMap(({ from, to, text: message }) => [
        `MAIL FROM:<${from}>`,
        ...to.map((address) => `RCPT TO:<${address}>`),
        ...message.replace(/\r\n$/, '').split('\r\n'),
      ])
    expected.forEach((pattern, index) => match(forwarded[index] ?? '(nothing)', pattern))
    assert.equal(forwarded.length, expected.length, forwarded.join('\n'))
  })
}

async function start(config: string) {
  const sink = await startSmtpSink()
  const settings = JSON.parse(config) as { delivery?: object }
  const relay = { host: '127.0.0.1', port: sink.port }
  const instance = await startServer({ config: { ...settings, delivery: { relay, ...settings.delivery } } })
  return { instance, sink }
}

async function converse(port: number, lines: readonly string[]): Promise<void> {
  let dialog = await openDialog(port)
  for (const [index, line] of lines.entries()) {
    const at = `line ${index + 1}`
    if (line.startsWith('C: ') || line === 'C:') dialog.write(`${line.slice(3)}\r\n`)
    else if (line.startsWith('C! ')) dialog.write(JSON.parse(line.slice(3)) as string)
    else if (line.startsWith('S: ')) {
      const reply = (await dialog.line()) ?? '(closed)'
      match(reply, line.slice(3), at)
      assert.ok(
        NO_ENHANCED_CODE.test(reply) || ENHANCED_CODE.test(reply),
        `${at} has no enhanced code: ${reply}`,
      )
    } else if (line === 'S closes') assert.equal(await dialog.line(), null, at)
    else if (line === '---') {
      dialog.end()
      dialog = await openDialog(port)
    } else assert.match(line, /^(#.*|F: .*|)$/, `${at} is no line of a dialog`)
  }
  assert.equal(dialog.failure(), null)
  dialog.end()
}

function match(actual: string, pattern: string, at = 'forwarded'): void {
  assert.match(actual, new RegExp(`^(?:${pattern})$`), at)
}
