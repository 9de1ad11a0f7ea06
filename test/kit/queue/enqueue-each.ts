// A process that enqueues messages one after another. It reports each result with a synchronous write, so that a trace of
// its system calls shows the order. Arguments: the queue's folder, the number of messages, 'volatile' for a volatile
// queue.
import { writeSync } from 'node:fs'
import { openEmbeddedQueue } from '../../../server/queue/embedded/engine.ts'
import { entryFor } from './embedded-harness.ts'

const [path = '', count = '1', kind] = process.argv.slice(2)
const volatile = kind === 'volatile'
const queue = await openEmbeddedQueue({ path, maxEntries: 1000, maxBytes: 1e9, volatile })
for (let i = 0; i < Number(count); i++) {
  writeSync(1, 'begin\n')
  const said = await queue.enqueue(entryFor(), Buffer.alloc(4096, 'x')).then(
    () => 'stored',
    ({ name, errno }: { name: string; errno: number }) => `${name} ${errno}`,
  )
  writeSync(1, `${said}\n`)
}
if (process.env['UV_THREADPOOL_SIZE'] === '1') {
  writeSync(1, `usable ${queue.failure() === undefined}, ${queue.stats().entries} entries\n`)
}
await queue.close()
