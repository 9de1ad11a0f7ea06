// Scrapes the metrics of all instances in parallel, and kills instances that hang.
// A hung instance may hold the queue's lock in the middle of a commit, so it is killed without a drain. When no instance
// answers, the machine may be overloaded: then they get more time, and one is killed at a time.
import { getAdmin } from './admin-client.ts'
import type { Group } from './group.ts'
import type { Instance } from './instance.ts'
import type { Scrape } from './observation.ts'
import { parsePrometheus } from './prometheus.ts'
import { METRICS_PATH } from '../../contract/admin-paths.ts'

/** Garbage collection takes 0.1 s; senders wait five minutes for the reply to a command. */
const HUNG_MS = 5_000
/** Timeout when no instance answers. */
const ALL_HUNG_MS = 20_000
/** Least number of missed answers: a supervisor that was itself stopped must not kill for the first one. */
const MIN_MISSED = 3

type Silence = { sinceMs: number; missed: number }

/**
 * @param timeoutMs a later answer counts as none
 * @param nowMs a monotonic clock
 */
export function createScraper(
  group: Pick<Group, 'living' | 'kill'>,
  timeoutMs: number,
  nowMs: () => number = () => performance.now(),
): () => Promise<Scrape[]> {
  const silent = new Map<string, Silence>()
  return async () => {
    const askedAtMs = nowMs()
    const asked = group.living().filter((instance) => instance.view().state !== 'Pending')
    const scrapes = await Promise.all(asked.map((instance) => scrapeOne(instance, timeoutMs)))
    for (const id of silent.keys())
      if (!scrapes.some((scrape) => scrape.id === id && scrape.samples === undefined)) silent.delete(id)
    for (const { id, samples } of scrapes)
      if (samples === undefined) {
        const before = silent.get(id) ?? { sinceMs: askedAtMs, missed: 0 }
        silent.set(id, { ...before, missed: before.missed + 1 })
      }
    const anyAnswer = silent.size < scrapes.length
    const hung = hungOf(silent, nowMs(), anyAnswer ? HUNG_MS : ALL_HUNG_MS)
    for (const id of anyAnswer ? hung : hung.slice(0, 1)) {
      group.kill(id, 'no answer')
      silent.delete(id)
    }
    return scrapes
  }
}

/** Ids of instances that have been silent for `afterMs`, the longest silence first. */
function hungOf(silent: ReadonlyMap<string, Silence>, nowMs: number, afterMs: number): string[] {
  return [...silent]
    .filter(([, { sinceMs, missed }]) => nowMs - sinceMs >= afterMs && missed >= MIN_MISSED)
    .sort(([, a], [, b]) => a.sinceMs - b.sinceMs)
    .map(([id]) => id)
}

async function scrapeOne(instance: Instance, timeoutMs: number): Promise<Scrape> {
  const answer = await getAdmin(instance.adminSocket, METRICS_PATH, timeoutMs)
  const { id } = instance.view()
  return { id, samples: answer?.status === 200 ? parsePrometheus(answer.body) : undefined }
}
