// The requests and cost of publishing an image, calculated from its disk without AWS. Owns the arithmetic.
import { InputError } from '../../input/problems.ts'
import { BLOCK_BYTES, volumeGiB, ZERO_CHECKSUM, type DiskBlock, type DiskSurvey } from './snapshot/blocks.ts'
import { writesOver } from './snapshot/delta.ts'
import { passGate, type ReceiptGate, type SurveyedImage } from './gate.ts'
import { SAMPLE_BLOCKS, type ReadBackScope } from './snapshot/read-back.ts'

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
  /** Blocks of 512 KiB that are not all zero. */
  blocks: number
  /** Their bytes. */
  bytes: number
  /** The blocks to send: all without a parent, else those that differ, with blocks that became zero. */
  upload: { parent: string | null; blocks: number; zeroed: number; bytes: number }
  /** Requests to the EBS direct APIs and EC2, without retries. */
  requests: number
  requestsByName: Record<string, number>
  /** The cost of the requests, and of the snapshot's storage for a month. */
  costUsd: number
  requestsUsd: number
  storageUsdPerMonth: number
  /** Whether the image may be published; `problem` says why not. */
  receipt: { passes: boolean; problem: string | null }
}

/**
 * Plans the first publication of an image to a region.
 * @param o.parent the disk of the published image that is the parent
 */
export function planPublish(
  image: SurveyedImage,
  o: ReceiptGate & { verify: ReadBackScope; parent?: DiskSurvey },
): PublishPlan {
  const { digest, bytes: diskBytes, blocks } = image.survey
  const bytes = blocks.length * BLOCK_BYTES
  const writes = o.parent === undefined ? blocks : writesOver(o.parent.blocks, blocks)
  const zeroed = zeroedIn(writes)
  const compared = { all: blocks.length, sample: Math.min(SAMPLE_BLOCKS, blocks.length), none: 0 }[o.verify]
  const requestsByName = {
    // Before everything, and once when it is registered.
    DescribeImages: o.parent === undefined ? 2 : 3,
    // Before the upload, and once when it is complete.
    DescribeSnapshots: o.parent === undefined ? 2 : 3,
    StartSnapshot: 1,
    PutSnapshotBlock: writes.length,
    CompleteSnapshot: 1,
    RegisterImage: 1,
    ListSnapshotBlocks: (o.verify === 'none' ? 0 : 1) + (o.parent === undefined ? 0 : 1),
    GetSnapshotBlock: o.verify === 'none' ? 0 : compared + zeroed,
  }
  const requestsUsd =
    requestsByName.PutSnapshotBlock * PUT_BLOCK_USD +
    requestsByName.GetSnapshotBlock * GET_BLOCK_USD +
    requestsByName.ListSnapshotBlocks * LIST_BLOCKS_USD
  const storedBytes = (writes.length - zeroed) * BLOCK_BYTES
  const storageUsdPerMonth = (storedBytes / 1024 ** 3) * STORAGE_USD_PER_GIB_MONTH
  return {
    format: 1,
    digest,
    diskBytes,
    volumeGiB: volumeGiB(diskBytes),
    blocks: blocks.length,
    bytes,
    upload: {
      parent: o.parent?.digest ?? null,
      blocks: writes.length,
      zeroed,
      bytes: writes.length * BLOCK_BYTES,
    },
    requests: Object.values(requestsByName).reduce((sum, count) => sum + count, 0),
    requestsByName,
    costUsd: cents(requestsUsd + storageUsdPerMonth),
    requestsUsd: cents(requestsUsd),
    storageUsdPerMonth: cents(storageUsdPerMonth),
    receipt: receiptVerdict(image, o),
  }
}

/** The size of an upload, in one line. */
export function uploadText(
  blocks: readonly DiskBlock[],
  o: { parent: { snapshotId: string } | null; writes: readonly DiskBlock[] },
): string {
  const usd = o.writes.length * PUT_BLOCK_USD
  const over = o.parent === null ? 'no parent' : `over ${o.parent.snapshotId}, ${zeroedIn(o.writes)} zeroed`
  const mebibytes = (o.writes.length * BLOCK_BYTES) / 1024 ** 2
  return `${o.writes.length} of ${blocks.length} blocks to send (${over}), ${mebibytes} MiB, $${usd.toFixed(6)}`
}

const zeroedIn = (writes: readonly DiskBlock[]) =>
  writes.filter(({ checksum }) => checksum === ZERO_CHECKSUM).length

function receiptVerdict(image: SurveyedImage, o: ReceiptGate): PublishPlan['receipt'] {
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
