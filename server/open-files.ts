// Checks at start that RLIMIT_NOFILE allows as many open files as the configured limits need. Fails with InputError:
// a server without descriptors could accept no client and open none of its own files.
import { readFileSync } from 'node:fs'
import { InputError } from '../input/problems.ts'
import type { Config } from './config/schema.ts'

/** Admin connections (64), the queue's files, routes, log, DNS, and clients that are being answered 421. */
const OTHER_FILES = 200

/** The connection of a delivery, and an idle connection kept for the next message. */
const FILES_PER_DELIVERY = 2

/** RLIMIT_NOFILE of this process. Node raises the soft limit to the hard limit as it starts. */
export function openFilesLimit(limits = readFileSync('/proc/self/limits', 'utf8')): number {
  const found = /^Max open files\s+(\S+)/m.exec(limits)?.[1]
  return found === undefined || found === 'unlimited' ? Infinity : Number(found)
}

/** @throws {InputError} when `limits.connections` and `delivery.concurrency` need more than `most` open files. */
export function checkOpenFiles(
  place: string,
  {
    limits,
    delivery,
  }: { limits: Pick<Config['limits'], 'connections'>; delivery: Pick<Config['delivery'], 'concurrency'> },
  most = openFilesLimit(),
): void {
  const others = delivery.concurrency * FILES_PER_DELIVERY + OTHER_FILES
  if (limits.connections + others <= most) return
  const expected = `at most ${Math.max(0, most - others)} with ${most} open files (RLIMIT_NOFILE) and ${delivery.concurrency} deliveries`
  throw new InputError(place, [{ key: 'limits.connections', found: String(limits.connections), expected }])
}
