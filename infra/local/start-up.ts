// Getting the first instances into service, or saying why that did not work.
// Owns: the error a person sees when an instance ends at its start: cause, exit code and the end of its log.
import type { EventEmitter } from 'node:events'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import type { FleetEvents } from './fleet-events.ts'
import type { Group } from './group.ts'
import type { InstanceView } from './instance.ts'

/** How much of a failed instance's log goes into the error. */
const LOG_TAIL_BYTES = 2048

/** Launches `count` instances; rejects when one of them ends instead, so that a bad configuration shows at once. */
export async function waitForFirstInstances(
  group: Group,
  events: EventEmitter<FleetEvents>,
  count: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  let onInstance: (view: InstanceView) => void = () => {}
  const logs = new Map<string, string>()
  const settled = new Promise<void>((resolve, reject) => {
    onInstance = (view) => {
      if (view.state === 'Terminated') reject(new Error(startFailure(view, logs.get(view.id))))
      else if (group.living().filter((instance) => instance.view().state === 'InService').length >= count)
        resolve()
    }
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
  events.on('instance', onInstance)
  group.setDesired(count)
  for (const { view, logFile } of group.living()) logs.set(view().id, logFile)
  await settled.finally(() => events.off('instance', onInstance))
}

function startFailure(
  { id, cause, exitCode, exitSignal }: InstanceView,
  logFile: string | undefined,
): string {
  const how = exitSignal ?? (exitCode === null ? 'could not be started' : `exit code ${exitCode}`)
  const tail = logFile === undefined ? '' : logTail(logFile)
  return `instance ${id} did not get into service: ${cause ?? 'ended'} (${how})${tail === '' ? '' : `\n${tail}`}`
}

function logTail(file: string): string {
  try {
    const fd = openSync(file, 'r')
    try {
      const { size } = fstatSync(fd)
      const buffer = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES))
      readSync(fd, buffer, 0, buffer.length, size - buffer.length)
      return buffer.toString().trim()
    } finally {
      closeSync(fd)
    }
  } catch {
    return ''
  }
}
