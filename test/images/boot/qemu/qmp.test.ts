// Tests QEMU's control channel over a real stream, against a scripted peer.
import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { openQmp, parseForwardedPorts } from '../../../../images/boot/qemu/qmp.ts'

/** The peer answers each command name with the given fields. */
function scripted(answers: Record<string, object>) {
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      const { execute, id } = JSON.parse(chunk.toString()) as { execute: string; id: number }
      const answer = answers[execute]
      if (answer) this.push(`${JSON.stringify({ ...answer, id })}\n`)
      done()
    },
  })
  stream.push('{"QMP": {"version": {}, "capabilities": []}}\n')
  return stream
}

test('answers reach the command they belong to, errors reject, events are handed on', async () => {
  const events: string[] = []
  const stream = scripted({
    qmp_capabilities: { return: {} },
    'query-blockstats': {
      return: [
        { device: 'other', stats: { rd_bytes: 1, rd_operations: 1, wr_bytes: 1, wr_operations: 3 } },
        { device: 'image', stats: { rd_bytes: 4096, rd_operations: 2, wr_bytes: 512, wr_operations: 5 } },
      ],
    },
    nonsense: { error: { class: 'CommandNotFound', desc: 'no such command' } },
  })
  const qmp = openQmp(stream, (name) => events.push(name))
  stream.push('{"event": "STOP", "timestamp": {}}\n')
  await qmp.negotiate()
  const image = await qmp.blockStatistics('image')
  assert.deepEqual(image, { readBytes: 4096, reads: 2, writtenBytes: 512 })
  assert.equal(await qmp.diskOperations(), 11)
  await assert.rejects(qmp.blockStatistics('spool'), /no disk called spool/)
  await assert.rejects(qmp.execute('nonsense'), /no such command/)
  assert.deepEqual(events, ['STOP'])
})

test('when the channel breaks, open and later commands reject and nothing else happens', async () => {
  const stream = scripted({})
  const qmp = openQmp(stream)
  const open = qmp.execute('query-status')
  stream.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }))
  await assert.rejects(open, /QEMU ended/)
  await assert.rejects(qmp.execute('query-status'), /QEMU ended/)
})

test('the ports that QEMU chose are read from its table', () => {
  const table = [
    'Hub -1 (net):',
    '  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ',
    '  TCP[HOST_FORWARD]   9       127.0.0.1 34785       10.0.2.15    25     0     0',
    '  TCP[ESTABLISHED]   21       127.0.0.1 34785       10.0.2.15    25     0     0',
    '  TCP[HOST_FORWARD]   4       127.0.0.1 42739       10.0.2.15  9025     0     0',
    '',
  ].join('\r\n')
  assert.deepEqual(
    [...parseForwardedPorts(table)],
    [
      [25, 34785],
      [9025, 42739],
    ],
  )
})
