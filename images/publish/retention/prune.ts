// Removes images that nothing needs: one run deprecates them, a later run deregisters them and deletes their snapshots.
// Owns this order; without `apply` it changes nothing. It reports a failed removal, and the next run tries again.
// Fails with a sentence when AWS refuses the inventory.
import { DeregisterImageCommand, EnableImageDeprecationCommand } from '@aws-sdk/client-ec2'
import type { OnProgress } from '../../../platform/progress.ts'
import { clientsOfRun, type AwsClients } from '../aws/clients.ts'
import { AWS_LIMITS } from '../aws/retry.ts'
import { takeInventory } from './inventory.ts'
import { retentionVerdicts, type RetentionOptions, type RetentionVerdict } from './retention.ts'
import { deleteSnapshot } from '../snapshot/snapshots.ts'

export type PruneOptions = Omit<RetentionOptions, 'nowMs'> & {
  aws: AwsClients
  /** False: only decide, change nothing. */
  apply: boolean
  nowMs?: number
  signal: AbortSignal
  onProgress: OnProgress
}

export type PruneResult = RetentionVerdict & {
  /** Whether AWS did this; `problem` says why not. */
  done: boolean
  problem?: string
}

/** AWS refuses a time in the past, and rounds to minutes (EnableImageDeprecation: DeprecateAt). */
const DEPRECATE_IN_MS = 2 * 60_000

/** Decides, and with `apply` also acts. */
export async function pruneImages(options: PruneOptions): Promise<PruneResult[]> {
  const { signal, apply } = options
  const aws = clientsOfRun(options.aws, { limits: AWS_LIMITS, signal })
  const nowMs = options.nowMs ?? Date.now()
  const verdicts = retentionVerdicts(await takeInventory(aws), { ...options, nowMs })
  const pruned: PruneResult[] = []
  for (const verdict of verdicts) {
    if (!apply || verdict.action === 'keep') {
      pruned.push({ ...verdict, done: false })
      continue
    }
    signal.throwIfAborted()
    try {
      pruned.push({ ...verdict, done: await carryOut({ ...options, aws }, verdict) })
    } catch (error) {
      signal.throwIfAborted()
      pruned.push({ ...verdict, done: false, problem: (error as Error).message })
    }
  }
  return pruned
}

async function carryOut(
  o: PruneOptions,
  { kind, id, action, snapshotId }: RetentionVerdict,
): Promise<boolean> {
  const { ec2 } = o.aws
  const { onProgress } = o
  if (kind === 'snapshot') return deleteSnapshot({ ec2, onProgress }, id)
  if (action === 'deprecate') {
    const request = { ImageId: id, DeprecateAt: new Date(Date.now() + DEPRECATE_IN_MS) }
    await ec2.send(new EnableImageDeprecationCommand(request))
    return true
  }
  await ec2.send(new DeregisterImageCommand({ ImageId: id }))
  // If the run stops here, the next run sees a snapshot without an image and deletes it.
  return snapshotId === undefined || deleteSnapshot({ ec2, onProgress }, snapshotId)
}
