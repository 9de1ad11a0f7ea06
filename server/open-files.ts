// Whether the process may open as many files as its limits need. Owns: the sum and the check at start. Fails with
// InputError: a server that ran out of descriptors in a storm could accept neither clients nor its own files.
import { readFileSync } from 'node:fs'
import { InputError } from '../input/problems.ts'
import type { Config } from './config/schema.ts'

/** Admin connections (64), the queue's files, routes, log, DNS, and clients that are being told 421. */
const OTHER_FILES = 200

/** A delivery's connection, and an idle one that is kept for the next message. */
const FILES_PER_DELIVERY = 2

/** Most files this process may have open: RLIMIT_NOFILE. Node raises the soft limit to the hard one as it starts. */
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
