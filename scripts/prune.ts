// `mailfleet image prune`: parse, call images/publish/prune.ts for each region, print why each image stays or goes.
import { awsClients } from '../images/publish/clients.ts'
import { prune, type Pruned } from '../images/publish/prune.ts'

export type PruneCommand = {
  keep: number
  graceMs: number
  regions?: string[]
  apply: boolean
  json: boolean
  signal: AbortSignal
}

/** Removes images that nothing needs, or says which those are. @returns 1 when something could not be removed */
export async function imagePrune(o: PruneCommand): Promise<number> {
  const regions = o.regions ?? [undefined]
  const found: { region: string; pruned: Pruned[] }[] = []
  const onProgress = (line: string) => console.error(line)
  // All regions must be known before anything is removed in one.
  const clients = await Promise.all(
    regions.map((region) => awsClients(region === undefined ? {} : { region })),
  )
  for (const aws of clients)
    found.push({ region: aws.region, pruned: await prune({ ...o, aws, onProgress }) })
  if (o.json) console.log(JSON.stringify(found, null, 2))
  else for (const { region, pruned } of found) console.log(pruneText(region, pruned, o.apply))
  return found.some(({ pruned }) => pruned.some(({ problem }) => problem !== undefined)) ? 1 : 0
}

function pruneText(region: string, pruned: readonly Pruned[], applied: boolean): string {
  const lines = pruned.map(({ action, id, digest, reasons, problem }) => {
    const failed = problem === undefined ? '' : `; failed: ${problem}`
    return `${action.padEnd(9)}  ${id}  ${digest.slice(0, 12)}  ${reasons.join('; ')}${failed}`
  })
  const toDo = pruned.filter(({ action }) => action !== 'keep').length
  const hint = applied || toDo === 0 ? [] : [`nothing was changed: ${toDo} to do with --apply`]
  return [`${region}: ${pruned.length} images, and snapshots without one`, ...lines, ...hint].join('\n')
}
