// Both ends of the thread that parses a large routes table, so that mail goes on beside it.
// Owns: the thread, the memory it may use, and handing its table over in parts. Fails with InputError, also when the
// thread dies. One file is both ends, because a bundle keeps it as a file of its own only if one import() names it.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { InputError, type Problem } from '../../input/problems.ts'
import type { Address } from '../address.ts'
import { parseRoutesText } from './routes-text.ts'
import type { Routes } from './table.ts'

/** Aliases in one message: few, since other work waits while the main thread takes them over. */
const PART_ALIASES = 500

/** 32 MiB of JSON with 2,000,000 short aliases load within it. Node may end the whole process at a limit, so it has room. */
const HEAP_MB = 1_024

type Part = { domain: string; aliases: [alias: string, mailboxes: readonly Address[]][] }[]

/** The thread's answers. It sends the next part when asked: queued messages would all be read in one turn. */
type WorkerMessage = { parts: Part } | { done: true } | { problems: readonly Problem[] }

type Task = { routesName: string; bytes: Uint8Array }

/** As {@link parseRoutesText}, on a thread. @throws {InputError} or the reason of `signal`, which ends the thread. */
export async function loadRoutesOnThread(
  name: string,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<Routes> {
  signal.throwIfAborted()
  const task: Task = { routesName: name, bytes }
  const worker = new Worker(import.meta.filename, {
    workerData: task,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  })
  const { promise, resolve, reject } = Promise.withResolvers<Routes>()
  const routes = new Map<string, Map<string, readonly Address[]>>()
  const abort = () => reject(signal.reason as Error)
  signal.addEventListener('abort', abort)
  worker.on('error', (error: Error) => reject(died(name, error)))
  worker.on('exit', (code) => reject(died(name, new Error(`exit code ${code}`))))
  worker.on('message', (answer: WorkerMessage) => {
    if ('problems' in answer) reject(new InputError(name, answer.problems))
    else if ('done' in answer) resolve(routes)
    else {
      addPart(routes, answer.parts)
      worker.postMessage('next')
    }
  })
  try {
    return await promise
  } finally {
    signal.removeEventListener('abort', abort)
    await worker.terminate()
  }
}

function died(name: string, error: Error): InputError {
  const { code } = error as NodeJS.ErrnoException
  const found =
    code === 'ERR_WORKER_OUT_OF_MEMORY'
      ? `one that needs more than ${HEAP_MB} MB of memory`
      : `one at which the parser stopped (${code ?? error.name})`
  return new InputError(name, [{ key: '', found, expected: 'a routes table' }], { cause: error })
}

function addPart(routes: Map<string, Map<string, readonly Address[]>>, part: Part): void {
  for (const { domain, aliases } of part) {
    const known = routes.get(domain) ?? new Map<string, readonly Address[]>()
    routes.set(domain, known)
    for (const [alias, mailboxes] of aliases) known.set(alias, mailboxes)
  }
}

/** The table in parts of at most {@link PART_ALIASES} aliases, or as many empty domains. */
export function* splitRoutes(routes: Routes): Generator<Part, void> {
  let part: Part = []
  let room = PART_ALIASES
  for (const [domain, table] of routes) {
    let aliases: Part[number]['aliases'] = []
    part.push({ domain, aliases })
    room--
    for (const entry of table) {
      if (room <= 0) {
        yield part
        aliases = []
        part = [{ domain, aliases }]
        room = PART_ALIASES
      }
      aliases.push([...entry])
      room--
    }
  }
  if (part.length > 0) yield part
}

/** The thread's own end. An error that is not an InputError ends the thread, and the main thread hears of it. */
function answerOn(port: NonNullable<typeof parentPort>, { routesName, bytes }: Task): void {
  try {
    const parts = splitRoutes(parseRoutesText(routesName, Buffer.from(bytes).toString()))
    const next = () => {
      const part = parts.next()
      const answer: WorkerMessage = part.done === true ? { done: true } : { parts: part.value }
      port.postMessage(answer)
    }
    port.on('message', next)
    next()
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    const answer: WorkerMessage = { problems: error.problems }
    port.postMessage(answer)
  }
}

if (!isMainThread && parentPort !== null) answerOn(parentPort, workerData as Task)
