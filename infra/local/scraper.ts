// Asking every instance for its metrics, all at the same time and bounded in time.
// Owns: the question, and what silence leads to: an instance that hangs while others answer is retired. When nobody
// answers it is not the instances (the machine is busy, say), so nobody is.
import { askAdmin } from './admin-client.ts'
import type { Group } from './group.ts'
import type { Instance } from './instance.ts'
import type { Scrape } from './observation.ts'
import { parsePrometheus } from './prometheus.ts'

/** Ten seconds of silence at one period a second; a garbage collection takes a tenth of one. */
const MAX_SILENT_PERIODS = 10

/** @param timeoutMs an instance that answers later has not answered */
export function createScraper(
  group: Pick<Group, 'living' | 'retire'>,
  timeoutMs: number,
): () => Promise<Scrape[]> {
  const silent = new Map<string, number>()
  return async () => {
    const asked = group.living().filter((instance) => instance.view().state !== 'Pending')
    const scrapes = await Promise.all(asked.map((instance) => scrapeOne(instance, timeoutMs)))
    const anyAnswer = scrapes.some(({ samples }) => samples !== undefined)
    for (const { id, samples } of scrapes) {
      const periods = samples === undefined && anyAnswer ? (silent.get(id) ?? 0) + 1 : 0
      silent.set(id, periods)
      if (periods >= MAX_SILENT_PERIODS) group.retire(id, 'no answer')
    }
    for (const id of silent.keys()) if (!scrapes.some((scrape) => scrape.id === id)) silent.delete(id)
    return scrapes
  }
}

async function scrapeOne(instance: Instance, timeoutMs: number): Promise<Scrape> {
  const answer = await askAdmin(instance.adminSocket, '/metrics', timeoutMs)
  const { id } = instance.view()
  return { id, samples: answer?.status === 200 ? parsePrometheus(answer.body) : undefined }
}
