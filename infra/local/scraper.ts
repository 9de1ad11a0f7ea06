// Asking every instance for its metrics, all at the same time and bounded in time.
// Owns: the question, and what silence leads to. An instance that hangs while others answer is killed at once: stopped in
// the middle of a commit it holds the queue's lock, and a polite drain would wait for it. When no instance answers, the
// machine may be busy: they get longer, and then one is killed at a time.
import { getAdmin } from './admin-client.ts'
import type { Group } from './group.ts'
import type { Instance } from './instance.ts'
import type { Scrape } from './observation.ts'
import { parsePrometheus } from './prometheus.ts'
import { METRICS_PATH } from '../../contract/admin-paths.ts'

/** A garbage collection takes a tenth of a second; senders wait five minutes for the reply to a command. */
const HUNG_MS = 5_000
/** When no instance answers. */
const ALL_HUNG_MS = 20_000
/** Times it was asked, at least: a supervisor that was stopped itself must not blame the first answer it misses. */
const LEAST_ASKED = 3

type Silence = { sinceMs: number; asked: number }

/**
 * @param timeoutMs an instance that answers later has not answered
 * @param nowMs a clock that only goes forward
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
        const before = silent.get(id) ?? { sinceMs: askedAtMs, asked: 0 }
        silent.set(id, { ...before, asked: before.asked + 1 })
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

/** Ids of those that have been silent for so long, the longest first. */
function hungOf(silent: ReadonlyMap<string, Silence>, nowMs: number, afterMs: number): string[] {
  return [...silent]
    .filter(([, { sinceMs, asked }]) => nowMs - sinceMs >= afterMs && asked >= LEAST_ASKED)
    .sort(([, a], [, b]) => a.sinceMs - b.sinceMs)
    .map(([id]) => id)
}

async function scrapeOne(instance: Instance, timeoutMs: number): Promise<Scrape> {
  const answer = await getAdmin(instance.adminSocket, METRICS_PATH, timeoutMs)
  const { id } = instance.view()
  return { id, samples: answer?.status === 200 ? parsePrometheus(answer.body) : undefined }
}
