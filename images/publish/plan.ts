// What publishing an image would take: counted from its disk, without AWS. Owns: the arithmetic of requests and cost.
import { InputError } from '../../input/problems.ts'
import { BLOCK_BYTES, volumeGiB } from './blocks.ts'
import { passGate, type Exceptions, type SurveyedImage } from './gate.ts'

// In USD. The three requests: the examples of the EBS user guide, "Pricing for EBS direct APIs", for a region that it does
// not name; it charges for no others. A region's own prices are on AWS's EBS pricing page.
const PUT_BLOCK_USD = 0.006 / 1000
const GET_BLOCK_USD = 0.003 / 1000
const LIST_BLOCKS_USD = 0.0006 / 1000
// A snapshot in the standard tier, from a user's account of 2018, not from AWS: an order of magnitude.
const STORAGE_USD_PER_GIB_MONTH = 0.05

export type PublishPlan = {
  format: 1
  /** SHA-256 of disk.raw. */
  digest: string
  diskBytes: number
  volumeGiB: number
  /** Blocks of 512 KiB that are not all zero, which alone are sent and stored. */
  blocks: number
  /** What they hold. */
  bytes: number
  /** Of the EBS direct APIs and EC2, when none has to be repeated. */
  requests: number
  requestsByName: Record<string, number>
  /** Requests, and the snapshot's storage for a month. */
  costUsd: number
  requestsUsd: number
  storageUsdPerMonth: number
  /** Whether the image may be published; `problem` says why not. */
  receipt: { passes: boolean; problem: string | null }
}

/** Plans the first publication of an image to a region. */
export function planPublish(image: SurveyedImage, o: Exceptions & { verify: boolean }): PublishPlan {
  const { digest, bytes: diskBytes, blocks } = image.survey
  const bytes = blocks.length * BLOCK_BYTES
  const requestsByName = {
    // Before everything, and once when it is registered.
    DescribeImages: 2,
    // Before the upload, and once when it is complete.
    DescribeSnapshots: 2,
    StartSnapshot: 1,
    PutSnapshotBlock: blocks.length,
    CompleteSnapshot: 1,
    RegisterImage: 1,
    ListSnapshotBlocks: o.verify ? 1 : 0,
    GetSnapshotBlock: o.verify ? blocks.length : 0,
  }
  const requestsUsd =
    requestsByName.PutSnapshotBlock * PUT_BLOCK_USD +
    requestsByName.GetSnapshotBlock * GET_BLOCK_USD +
    requestsByName.ListSnapshotBlocks * LIST_BLOCKS_USD
  const storageUsdPerMonth = (bytes / 1024 ** 3) * STORAGE_USD_PER_GIB_MONTH
  return {
    ...{ format: 1, digest, diskBytes, volumeGiB: volumeGiB(diskBytes), blocks: blocks.length, bytes },
    requests: Object.values(requestsByName).reduce((sum, count) => sum + count, 0),
    requestsByName,
    costUsd: cents(requestsUsd + storageUsdPerMonth),
    requestsUsd: cents(requestsUsd),
    storageUsdPerMonth: cents(storageUsdPerMonth),
    receipt: receiptVerdict(image, o),
  }
}

function receiptVerdict(image: SurveyedImage, o: Exceptions): PublishPlan['receipt'] {
  try {
    passGate(image, o)
    return { passes: true, problem: null }
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    return { passes: false, problem: error.message }
  }
}

/** To a hundredth of a cent. */
const cents = (usd: number) => Math.round(usd * 10_000) / 10_000
