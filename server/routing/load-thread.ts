// Parses a large routes table on a worker thread, so that the main thread keeps serving mail. Owns: the
// thread and its memory limit. Fails with InputError, also when the thread dies.
// This file holds both ends of the thread. The bundler emits it as a separate file only if a single import()
// names it.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { InputError, type Problem } from '../../input/problems.ts'
import type { Address } from '../address.ts'
import { parseRoutesText } from './routes-text.ts'
import type { Routes } from './table.ts'

/** Aliases in one message. Other work waits while the main thread adds them to its table. */
const PART_ALIASES = 500

/** 32 MiB of JSON with 2,000,000 short aliases fit. Near the limit Node may end the whole process, so it is ample. */
const HEAP_MB = 1_024

type Part = { domain: string; aliases: [alias: string, mailboxes: readonly Address[]][] }[]

/** A message from the thread. It sends each part on request: the main thread would read queued parts in one turn. */
type WorkerMessage = { parts: Part } | { done: true } | { problems: readonly Problem[] }

type Task = { routesName: string; bytes: Uint8Array }

/** {@link parseRoutesText} on a thread, which `signal` ends. @throws {InputError} or the signal's reason */
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
  worker.on('error', (error: Error) => reject(workerError(name, error)))
  worker.on('exit', (code) => reject(workerError(name, new Error(`exit code ${code}`))))
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

function workerError(name: string, error: Error): InputError {
  const { code } = error as NodeJS.ErrnoException
  const found =
    code === 'ERR_WORKER_OUT_OF_MEMORY'
      ? `a table that needs more than ${HEAP_MB} MB of memory`
      : `a table that ended the parser (${code ?? error.name})`
  return new InputError(name, [{ key: '', found, expected: 'a routes table' }], { cause: error })
}

function addPart(routes: Map<string, Map<string, readonly Address[]>>, part: Part): void {
  for (const { domain, aliases } of part) {
    const known = routes.get(domain) ?? new Map<string, readonly Address[]>()
    routes.set(domain, known)
    for (const [alias, mailboxes] of aliases) known.set(alias, mailboxes)
  }
}

/** Splits the table into parts of at most {@link PART_ALIASES} aliases and domains together. */
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

/** Runs on the thread. An error other than InputError ends the thread; the main thread gets it as an 'error' event. */
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
